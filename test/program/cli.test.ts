import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CLI } from '../support/berth.ts';
import { SHORTEST } from '../support/config-file.ts';
import { folderOf } from '../support/files.ts';

const folder = folderOf();
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

function berth(...args: string[]): SpawnSyncReturns<string> {
  const ended = spawnSync(process.execPath, [CLI, ...args], { cwd: folder, encoding: 'utf8', timeout: 30_000 });
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
    [[], /^berth: a command is missing; one of start, check, .*schema\. See berth --help$/],
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
    [['check', 'balancer.yml'], /^berth: check takes no argument "balancer\.yml"\. See berth check --help$/],
    [['check', '--', '-c'], /^berth: check takes no argument "-c"\./],
    [['check', '-c'], /^berth: --config needs a file, such as -c balancer\.yml$/],
    [['check', '--config='], /^berth: --config needs a file, such as -c balancer\.yml$/],
    [['schema', '-c', 'x'], /^berth: schema takes no --config, nor any other option$/],
    [['check', '--json'], /^berth: check takes no --json; it takes --config$/],
    [['drain', 'b/s', '--ca', 'x'], /^berth: drain takes no --ca; it takes --config, --json$/],
    [['explain', 'me'], /^berth: explain needs an IP address: berth explain 10\.0\.0\.7\. See berth explain --help$/],
    [['drain'], /^berth: drain needs BACKEND\/SERVER: berth drain docker_registry\/s1\. See berth drain --help$/],
    [['maint', 'b/s', 'x'], /^berth: maint takes one argument, and not also "x"\. See berth maint --help$/],
    [['import'], /^berth: import needs a file: berth import haproxy\.cfg\. See berth import --help$/],
    [['import', 'x', '--json'], /^berth: import takes no --json; it takes --report$/],
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
  for (const command of COMMANDS) {
    const own = berth(command, '--help');
    assert.equal(own.status, 0);
    assert.match(own.stdout, new RegExp(`^Usage: berth ${command}`));
  }
  assert.equal(berth('-h', 'check').stdout, berth('check', '--help').stdout);
});

test('--version says what package.json says, with a command too', () => {
  for (const args of [['--version'], ['check', '--version']]) {
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
  ]) {
    const { status, stdout, stderr } = berth('check', ...args);
    assert.deepEqual([status, stdout, stderr], [0, `balancer.yml ${expected}`, '']);
  }
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
    'berth: cannot listen on 192.0.2.1:44300 (frontend f): this machine does not have that address\n',
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
  assert.deepEqual(Object.keys(groups), ['frontends', 'backends', 'timeouts', 'metrics', 'admin', 'state', 'log']);
  for (const [name, group] of Object.entries(groups)) assert.ok(group.description, name);
});

test('a reader of standard output that goes away is no crash', () => {
  const script = `"${process.execPath}" "${CLI}" schema | true; "${process.execPath}" "${CLI}" --help | head -n 1 >/dev/null`;
  const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 30_000 });
  assert.equal(stderr, '');
});
