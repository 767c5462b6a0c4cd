import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { BERTH, BERTH_WORDS } from '../support/berth.ts';
import { formatProblem, type Problem } from '../../src/config/locate.ts';
import { SHORTEST } from '../support/config-file.ts';
import { folderOf } from '../support/files.ts';

const folder = folderOf();
const NO_MOUNT = noNamespaces('mount');
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

function berth(...args: string[]): SpawnSyncReturns<string> {
  return run(args);
}

function run(args: string[], more: { input?: string; env?: NodeJS.ProcessEnv } = {}): SpawnSyncReturns<string> {
  const options = { cwd: folder, encoding: 'utf8', timeout: 30_000, ...more } as const;
  const [program, ...rest] = [...BERTH, ...args];
  const ended = spawnSync(program, rest, options);
  assert.equal(ended.signal, null);
  assert.equal(`${ended.stdout}${ended.stderr}`.includes('    at '), false, 'a stack trace');
  return ended;
}

const COMMANDS = [
  'start',
  'check',
  'doctor',
  'status',
  'explain',
  'drain',
  'maint',
  'ready',
  'reload',
  'import',
  'schema',
];

test('a call that is wrong is one line on standard error that says what would be right, and exit 2', () => {
  const see = 'See berth --help';
  const table: [string[], RegExp][] = [
    [[], /^berth: a command is missing; one of start, check, .*version\. See berth --help$/],
    [['--'], /^berth: a command is missing/],
    [['chek'], /^berth: unknown command chek\. Did you mean "check"\?$/],
    [['strat', '-c', 'x'], /^berth: unknown command strat\. Did you mean "start"\?$/],
    [['bogus'], /^berth: unknown command bogus\. Known: start, check, .*schema/],
    [['bogus', '--help'], /^berth: unknown command bogus\./],
    [['toString'], /^berth: unknown command toString\./],
    [['__proto__'], /^berth: unknown command __proto__\./],
    [['a\nb\x1b[31m'], /^berth: unknown command a\\nb\\u001b\[31m\./],
    [['check', '--confg', 'x'], /^berth: unknown option --confg\. Did you mean "--config"\?$/],
    [['check', '-x'], new RegExp(`^berth: unknown option -x\\. ${see}$`)],
    [['check', '--toString'], /^berth: unknown option --toString\./],
    [['check', '--constructor=1'], /^berth: unknown option --constructor\./],
    [['--verbose'], /^berth: unknown option --verbose\./],
    [['check', '--help=no'], /^berth: --help takes no value$/],
    [['--version=2'], /^berth: --version takes no value$/],
    [['check', 'a.yml', 'b.yml'], /^berth: check takes one argument, and not also "b\.yml"\. See berth check --help$/],
    [['check', 'a.yml', '-c', 'b.yml'], /^berth: check takes FILE or -c FILE, and not both\. See berth check --help$/],
    [['reload', '--', '-c'], /^berth: reload takes no argument "-c"\./],
    [['help', 'chek'], /^berth: unknown command chek\. Did you mean "check"\?/],
    [['help', '-c', 'x'], /^berth: help takes no --config, nor any other option$/],
    [['check', '-c'], /^berth: --config needs a file, such as -c balancer\.yml$/],
    [['check', '--config='], /^berth: --config needs a file, such as -c balancer\.yml$/],
    [['schema', '-c', 'x'], /^berth: schema takes no --config, nor any other option$/],
    [['check', '--ca', 'x'], /^berth: check takes no --ca; it takes --config, --resolve, --json$/],
    [['drain', 'b/s', '--ca', 'x'], /^berth: drain takes no --ca; it takes --config, .*--json$/],
    [['explain', 'me'], /^berth: explain needs an IP address: berth explain 10\.0\.0\.7\. See berth explain --help$/],
    [['drain'], /^berth: drain needs BACKEND\/SERVER: berth drain docker_registry\/s1\. See berth drain --help$/],
    [['maint', 'b/s', 'x'], /^berth: maint takes one argument, and not also "x"\. See berth maint --help$/],
    [['import'], /^berth: import needs a file: berth import haproxy\.cfg\. See berth import --help$/],
    [['import', 'x', '--json'], /^berth: import takes no --json; it takes --report, --table, --state$/],
    [['status', 'x'], /^berth: status takes no argument "x"\./],
  ];
  for (const [args, expected] of table) {
    const { status, stdout, stderr } = berth(...args);
    assert.match(stderr, /^[^\n]+\n$/, args.join(' '));
    assert.match(stderr.trimEnd(), expected);
    assert.equal(stdout, '');
    assert.equal(status, 2, args.join(' '));
  }
});

test('--help names every command, and each command has its own', () => {
  const { status, stdout, stderr } = berth('--help');
  assert.deepEqual([status, stderr], [0, '']);
  for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command} .* \\w`, 'm'));
  assert.match(stdout, /-c, --config FILE/);
  assert.equal(berth('-h').stdout, stdout);
  assert.equal(berth('help').stdout, stdout);
  for (const command of COMMANDS) {
    const own = berth(command, '--help');
    assert.equal(own.status, 0);
    assert.match(own.stdout, new RegExp(`^Usage: berth ${command}`));
  }
  for (const args of [
    ['-h', 'check'],
    ['help', 'check'],
  ])
    assert.equal(berth(...args).stdout, berth('check', '--help').stdout);
});

test('--version says what package.json says, with a command too', () => {
  for (const args of [['--version'], ['-V'], ['version'], ['check', '--version']]) {
    const { status, stdout } = berth(...args);
    assert.deepEqual([status, stdout], [0, `berth ${version}\n`]);
  }
});

test('check of a good file is one line and exit 0', () => {
  writeFileSync(join(folder, 'balancer.yml'), `${SHORTEST}      s2: registry2:5000\n`);
  const expected = 'is valid: 1 frontend, 1 backend, 2 servers\n';
  for (const args of [
    [],
    ['-c', 'balancer.yml'],
    ['--config=balancer.yml'],
    ['-c', 'missing.yml', '-c', 'balancer.yml'],
    ['balancer.yml'],
    ['--', 'balancer.yml'],
  ]) {
    const { status, stdout, stderr } = berth('check', ...args);
    assert.deepEqual([status, stdout, stderr], [0, `balancer.yml ${expected}`, '']);
  }
});

test('where nothing names a file and there is none here, the file is that of the system', { skip: NO_MOUNT }, () => {
  const script = 'mount -t tmpfs none /etc && mkdir /etc/berth && echo "$0" >/etc/berth/balancer.yml && exec "$@"';
  const ended = spawnSync('unshare', ['--mount', 'sh', '-c', script, SHORTEST, ...BERTH, 'check'], {
    cwd: folderOf(),
    encoding: 'utf8',
  });
  assert.equal(ended.stdout, '/etc/berth/balancer.yml is valid: 1 frontend, 1 backend, 1 server\n');
});

const BAD = SHORTEST.replace('backend: b', 'backend: bb').replace('*:443', '*');
const PROBLEMS =
  'bad.yml:3:11: frontends.f.bind: expected "*:PORT", "ADDRESS:PORT", "[IPv6]:PORT" or "unix:/PATH", got "*"\n' +
  'bad.yml:4:14: frontends.f.backend: there is no backend "bb". Did you mean "b"?\n';

test('check of a bad file prints every problem on standard output and exits 2', () => {
  writeFileSync(join(folder, 'bad.yml'), BAD);
  const { status, stdout, stderr } = berth('check', '-c', 'bad.yml');
  assert.deepEqual([status, stdout, stderr], [2, PROBLEMS, '']);
});

test('check --json has what a program needs to know, good file or bad', () => {
  const good = berth('check', 'balancer.yml', '--json');
  assert.equal(good.status, 0);
  const counts = { frontends: 1, backends: 1, servers: 2 };
  const whole = { file: 'balancer.yml', valid: true, problems: [], warnings: [], ...counts };
  assert.deepEqual(JSON.parse(good.stdout), whole);
  const bad = berth('check', '-c', 'bad.yml', '--json');
  assert.equal(bad.status, 2);
  const { valid, problems } = JSON.parse(bad.stdout) as { valid: boolean; problems: Problem[] };
  assert.equal(valid, false);
  assert.equal(problems.map((problem) => `${formatProblem(problem)}\n`).join(''), PROBLEMS);
});

test('a warning is printed and leaves the file valid; --resolve also warns of names that lead nowhere, or back', () => {
  const content = `${SHORTEST.replace('registry1', 'localhost')}      s2: nowhere.invalid:5000
      s3: { address: "LOCALHOST:5000" }
      s4: back.localhost:443
  spare: { servers: { s1: dns:nowhere.invalid:5000 } }
`;
  writeFileSync(join(folder, 'warn.yml'), content);
  const always = [
    'warn.yml:10:7: backends.b.servers.s3: warning: localhost:5000 is the address of s1 too; a node that is to have more clients takes a weight',
    'warn.yml:12:3: backends.spare: warning: no frontend sends clients here',
  ];
  const valid = 'warn.yml is valid: 1 frontend, 2 backends, 5 servers';
  const { status, stdout } = berth('check', 'warn.yml');
  assert.deepEqual([status, stdout.trimEnd().split('\n')], [0, [...always, valid]]);
  const resolved = berth('check', 'warn.yml', '--resolve');
  const lines = resolved.stdout.trimEnd().split('\n');
  assert.deepEqual([resolved.status, lines.slice(0, 2), lines.at(-1)], [0, always, valid]);
  assert.match(
    lines[2]!,
    /^warn\.yml:9:11: backends\.b\.servers\.s2: warning: nowhere\.invalid does not resolve here: /,
  );
  assert.match(
    lines[3]!,
    /^warn\.yml:11:11: backends\.b\.servers\.s4: warning: 127\.0\.0\.1:443 is where f listens; Berth would connect to/,
  );
  assert.match(lines[4]!, /^warn\.yml:12:27: backends\.spare\.servers\.s1: warning: nowhere\.invalid does not resolve/);
  assert.equal(lines.length, 6);
});

test('- is standard input', () => {
  for (const args of [['-'], ['-c', '-'], ['--config=-']]) {
    const { status, stdout } = run(['check', ...args], { input: SHORTEST });
    assert.deepEqual([status, stdout], [0, '- is valid: 1 frontend, 1 backend, 1 server\n']);
  }
  const { status, stdout } = run(['check', '-'], { input: '' });
  assert.deepEqual(
    [status, stdout],
    [2, '-:1:1: standard input is empty; it can be read once, so a reload needs a file\n'],
  );
});

test('without -c the file is that of BERTH_CONFIG, else the one here, and values may have variables', () => {
  writeFileSync(join(folder, 'elsewhere.yml'), SHORTEST.replace('registry1', '${NODE_NAME}'));
  const said = (env: NodeJS.ProcessEnv): string => run(['check'], { env: { ...process.env, ...env } }).stdout;
  assert.match(said({}), /^balancer\.yml is valid/);
  assert.match(said({ BERTH_CONFIG: '' }), /^balancer\.yml is valid/);
  assert.match(said({ BERTH_CONFIG: 'elsewhere.yml', NODE_NAME: 'registry7' }), /^elsewhere\.yml is valid/);
  assert.match(said({ BERTH_CONFIG: 'elsewhere.yml' }), /^elsewhere\.yml:8:11: .*the environment has no NODE_NAME/);
});

test('check of a file that is not there, or is no file, exits 2', () => {
  const missing = berth('check', '-c', 'missing.yml');
  assert.deepEqual([missing.status, missing.stdout], [2, 'missing.yml:1:1: cannot read the file: no such file\n']);
  const directory = berth('check', '-c', '.');
  assert.deepEqual([directory.status, directory.stdout], [2, '.:1:1: cannot read the file: it is a directory\n']);
});

test('start with a bad file prints every problem on standard error, logs nothing and exits 1', () => {
  writeFileSync(join(folder, 'bad.yml'), BAD);
  const { status, stdout, stderr } = berth('start', '-c', 'bad.yml');
  assert.deepEqual([status, stdout, stderr], [1, '', PROBLEMS]);
  const missing = berth('start', '-c', 'missing.yml');
  assert.deepEqual([missing.status, missing.stderr], [1, 'missing.yml:1:1: cannot read the file: no such file\n']);
});

test('start on an address that this machine does not have is one line on standard error and exit 1', () => {
  const metrics = 'metrics: { bind: "127.0.0.1:0" }\n';
  writeFileSync(
    join(folder, 'elsewhere.yml'),
    SHORTEST.replace('*:443', '192.0.2.1:44300').replace('registry1', '127.0.0.1') + metrics,
  );
  const { status, stderr } = berth('start', '-c', 'elsewhere.yml');
  assert.equal(
    stderr,
    'berth: cannot listen on 192.0.2.1:44300 (frontend f): this machine does not have that address. ' +
      'If it comes later (a VIP of keepalived), set net.ipv4.ip_nonlocal_bind=1 (IPv6: net.ipv6.ip_nonlocal_bind=1) with sysctl\n',
  );
  assert.equal(status, 1);
});

type Schema = {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
  $schema?: string;
};

test('schema prints a JSON Schema that has every group of keys, described', () => {
  const { status, stdout, stderr } = berth('schema');
  assert.deepEqual([status, stderr], [0, '']);
  const schema = JSON.parse(stdout) as Schema;
  assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
  assert.deepEqual(schema.required, ['frontends', 'backends']);
  const groups = schema.properties ?? {};
  const wanted = ['frontends', 'backends', 'timeouts', 'metrics', 'admin', 'state', 'log', 'doctor'];
  assert.deepEqual(Object.keys(groups), wanted);
  for (const [name, group] of Object.entries(groups)) assert.ok(group.description, name);
});

test('a reader of standard output that goes away is no crash', () => {
  const script = `${BERTH_WORDS} schema | true; ${BERTH_WORDS} --help | head -n 1 >/dev/null`;
  const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 30_000 });
  assert.equal(stderr, '');
});
