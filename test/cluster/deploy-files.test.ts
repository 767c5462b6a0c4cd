import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { copyOfDeploy, NAME, REGISTRY_CONFIG } from '../support/deployed.ts';
import { listen } from '../support/listening.ts';
import { accepts, openWorkspace, type Workspace } from '../support/processes.ts';

type Copy = { readonly workspace: Workspace; readonly dir: string };
type Said = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

function copy(t: TestContext): Copy {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  return { workspace, dir: copyOfDeploy(workspace.dir) };
}

/** `through` runs it through another program. */
function makeSecrets(
  dir: string,
  args: readonly string[],
  input = '',
  through: readonly string[] = [],
  env = {},
): Said {
  const [command = '', ...rest] = [...through, 'bash', join(dir, 'make-secrets.sh'), ...args];
  return spawnSync(command, rest, { input, encoding: 'utf8', env: { ...process.env, ...env } });
}

function compose(dir: string, files: readonly string[], env: Record<string, string> = {}): Said {
  const named = files.flatMap((file) => ['-f', join(dir, file)]);
  const args = ['--project-directory', dir, ...named, 'config'];
  return spawnSync('docker-compose', args, { cwd: dir, encoding: 'utf8', env: { ...process.env, ...env } });
}

/** Every file below, by its path. */
function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath, path }) => join(parentPath ?? path, name).slice(dir.length + 1))
    .toSorted((a, b) => a.localeCompare(b));
}

function made(dir: string): Record<string, string> {
  const files = ['.env', ...filesBelow(join(dir, 'secrets')).map((file) => `secrets/${file}`)];
  return Object.fromEntries(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(dir, file)))
        .digest('hex'),
    ]),
  );
}

const S3 = { S3_BUCKET: 'images', S3_REGION: 'somewhere', S3_ACCESS_KEY: 'key', S3_SECRET_KEY: 'secret' };
const NO_COMPOSE = spawnSync('docker-compose', ['--version']).status === 0 ? false : 'there is no docker-compose';

test('docker compose accepts compose.yml with either storage, and for several hosts', { skip: NO_COMPOSE }, (t) => {
  const { dir } = copy(t);
  assert.match(compose(dir, ['compose.yml']).stderr, /run \.\/make-secrets\.sh first/);
  assert.equal(makeSecrets(dir, [NAME]).status, 0);
  for (const files of [['compose.yml'], ['compose.yml', 'compose.s3.yml'], ['compose.yml', 'compose.hosts.yml']]) {
    const { status, stderr } = compose(dir, files, { ...S3, REDIS_BIND: '10.0.0.10:6379' });
    assert.deepEqual([status, stderr], [0, ''], files.join());
  }
  assert.match(compose(dir, ['compose.yml', 'compose.s3.yml']).stderr, /set it in \.env/);
});

test('the balancer.yml of deploy/ is valid where its container finds its files', (t) => {
  const { dir } = copy(t);
  assert.equal(makeSecrets(dir, [NAME]).status, 0);
  const file = join(dir, 'berth/balancer.yml');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('/run/secrets', join(dir, 'secrets/berth')));
  const loaded = loadConfig(file);
  assert.deepEqual(loaded.kind === 'config' ? [] : loaded.problems, []);
});

test('make-secrets.sh makes all that the services mount, and nobody else may read what is secret', (t) => {
  const { dir } = copy(t);
  const { status, stderr } = makeSecrets(dir, [NAME, 'alice'], 'of alice\n');
  assert.equal(status, 0, stderr);
  const modes = Object.keys(made(dir)).map((file) => `${(statSync(join(dir, file)).mode & 0o777).toString(8)} ${file}`);
  assert.deepEqual(modes, [
    '600 .env',
    '644 secrets/berth/ca.crt',
    '600 secrets/berth/probe-password',
    '644 secrets/ca/ca.crt',
    '600 secrets/ca/ca.key',
    '600 secrets/grafana/admin-password',
    '600 secrets/node/htpasswd',
    '644 secrets/node/node.crt',
    '600 secrets/node/node.key',
    '600 secrets/redis/redis.conf',
  ]);
  assert.equal(statSync(join(dir, 'secrets')).mode & 0o777, 0o700);
  const users = readFileSync(join(dir, 'secrets/node/htpasswd'), 'utf8');
  assert.match(users, /^berth:\$2y\$05\$\S{53}\nalice:\$2y\$05\$\S{53}\n$/);
  const text = spawnSync('openssl', ['x509', '-noout', '-text', '-in', join(dir, 'secrets/node/node.crt')], {
    encoding: 'utf8',
  });
  assert.match(text.stdout, new RegExp(`Subject Alternative Name: \n +DNS:${NAME}\n`));
  const uid = process.getuid?.() === 0 ? 10_001 : process.getuid?.();
  for (const folder of [
    'secrets/node',
    'secrets/redis',
    'secrets/berth',
    'secrets/grafana',
    'data/berth',
    'data/prometheus',
    'data/grafana',
    'data/registry',
  ]) {
    assert.equal(statSync(join(dir, folder)).uid, uid, folder);
  }
});

test('run again, make-secrets.sh changes nothing, adds a user, and makes what was moved away', (t) => {
  const { dir } = copy(t);
  assert.equal(makeSecrets(dir, [NAME, 'alice'], 'of alice').status, 0);
  const first = made(dir);
  const again = makeSecrets(dir, [NAME, 'alice'], 'another\n');
  assert.match(again.stdout, /has alice already/);
  assert.deepEqual(made(dir), first);

  assert.equal(makeSecrets(dir, [NAME, 'bob'], 'of bob\n').status, 0);
  const users = readFileSync(join(dir, 'secrets/node/htpasswd'), 'utf8');
  assert.deepEqual([...users.matchAll(/^\w+/gm)].flat(), ['berth', 'alice', 'bob']);

  const certificate = join(dir, 'secrets/node/node.crt');
  const before = readFileSync(certificate);
  renameSync(certificate, `${certificate}.old`);
  assert.equal(makeSecrets(dir, [NAME]).status, 0);
  assert.notDeepEqual(readFileSync(certificate), before);
  const same = ['secrets/node/node.key', 'secrets/ca/ca.crt', 'secrets/ca/ca.key', 'secrets/redis/redis.conf', '.env'];
  const now = made(dir);
  for (const file of same) assert.equal(now[file], first[file], file);
});

test('make-secrets.sh says what is in its way, and then leaves nothing behind', (t) => {
  const { dir, workspace } = copy(t);
  const refuses = (args: readonly string[], why: RegExp, env = {}, through: readonly string[] = []): void => {
    const { status, stderr } = makeSecrets(dir, args, '', through, env);
    assert.match(stderr, why);
    assert.equal(status, 1);
    assert.deepEqual(
      ['.env', 'secrets', 'data'].filter((name) => existsSync(join(dir, name))),
      [],
    );
  };
  refuses([], /public name of the registry/);
  refuses([`${NAME}:443`], /no host name; leave a port out/);
  refuses([NAME, 'a:b'], /a user's name/);
  refuses([NAME, 'alice'], /no password for alice/);
  // A PATH without one of the programs.
  const bin = join(workspace.dir, 'bin');
  mkdirSync(bin);
  const tools = ['bash', 'dirname', 'openssl'];
  const link = `cd "$0" && for tool in ${tools.join(' ')}; do ln -s "$(command -v $tool)" .; done`;
  assert.equal(spawnSync('sh', ['-c', link, bin]).status, 0);
  refuses([NAME], /no htpasswd.*apache2-utils/s, { PATH: bin });
  rmSync(join(bin, 'openssl'));
  refuses([NAME], /no openssl/, { PATH: bin });
});

test('make-secrets.sh refuses a certificate that is not for the name, and a key that is that of another certificate', (t) => {
  const { dir } = copy(t);
  assert.equal(makeSecrets(dir, [NAME]).status, 0);
  const first = made(dir);
  const other = makeSecrets(dir, ['other.example.com']);
  assert.equal(other.status, 1);
  assert.match(other.stderr, /node\.crt is no good for other\.example\.com/);
  assert.deepEqual(made(dir), first);
  rmSync(join(dir, 'secrets/node/node.key'));
  writeFileSync(join(dir, 'secrets/node/node.key'), readFileSync(join(dir, 'secrets/ca/ca.key')));
  assert.match(makeSecrets(dir, [NAME]).stderr, /is not the key of/);
});

test('build-image.sh tells docker the version, the commit with its date, and whether anything is changed', (t) => {
  const { dir, workspace } = copy(t);
  const repository = join(dir, '..');
  const bin = join(workspace.dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'docker'), '#!/bin/sh\nprintf "%s\\n" "$@" "$SOURCE_DATE_EPOCH"\n', { mode: 0o755 });
  const date = { GIT_AUTHOR_DATE: '1700000000 +0000', GIT_COMMITTER_DATE: '1700000000 +0000' };
  const env = { ...process.env, ...date, PATH: `${bin}:${process.env['PATH']}` };
  const run = (command: string, ...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: repository, encoding: 'utf8', env });
    assert.equal(status, 0, stderr);
    return stdout.trimEnd();
  };
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  run('git', 'init', '--quiet');
  run('git', 'add', '--all');
  run('git', '-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '--message', 'as it is');
  const commit = run('git', 'rev-parse', 'HEAD');
  const said = run('bash', 'deploy/build-image.sh', 'here/berth', '--pull').split('\n');
  assert.deepEqual(said.slice(0, 7), [
    'build',
    '-f',
    'deploy/Dockerfile',
    '-t',
    'here/berth',
    '-t',
    `here/berth:${version}`,
  ]);
  for (const [label, value] of Object.entries({ version, revision: commit, created: '2023-11-14T22:13:20Z' })) {
    assert.ok(said.includes(`org.opencontainers.image.${label}=${value}`), said.join(' '));
  }
  assert.deepEqual(said.slice(-3), ['--pull', '.', '1700000000']);
  writeFileSync(join(repository, 'src/new.ts'), '');
  assert.match(run('bash', 'deploy/build-image.sh'), new RegExp(`image\\.revision=${commit}-changed$`, 'm'));
});

const NOT_ROOT = process.getuid?.() === 0 ? false : 'needs root, to be somebody else';
test('whoever is not root has the containers run as themselves', { skip: NOT_ROOT }, (t) => {
  const { dir, workspace } = copy(t);
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  assert.equal(spawnSync('chown', ['-R', '65534:65534', workspace.dir]).status, 0);
  const { status, stderr } = makeSecrets(dir, [NAME], '', nobody);
  assert.equal(status, 0, stderr);
  assert.match(readFileSync(join(dir, '.env'), 'utf8'), /^RUN_AS=65534:65534$/m);
  assert.match(makeSecrets(dir, [NAME], '', nobody, { RUN_AS: '0:0' }).stderr, /^$/, 'what .env says stands');
});

test(
  'with compose.s3.yml a node goes to that bucket, at that endpoint, as that user',
  { skip: NO_COMPOSE },
  async (t) => {
    const { dir, workspace } = copy(t);
    assert.equal(makeSecrets(dir, [NAME]).status, 0);
    const asked: string[] = [];
    const bucket = createServer(({ method, url, headers }, response) => {
      asked.push(`${method} ${url} ${headers.authorization}`);
      response.writeHead(404, { 'content-type': 'application/xml' }).end('<Error><Code>NoSuchKey</Code></Error>');
    });
    const endpoint = `http://127.0.0.1:${await listen(t, bucket)}`;
    const said = compose(dir, ['compose.yml', 'compose.s3.yml'], { ...S3, S3_ENDPOINT: endpoint });
    const { services } = parse(said.stdout) as { services: { s1: { environment: Record<string, string> } } };
    const port = await workspace.freePort();
    const inContainer = JSON.stringify({ ...services.s1.environment, REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` });
    const env = JSON.parse(inContainer.replaceAll('/run/secrets', join(dir, 'secrets/node'))) as Record<string, string>;
    const config = join(workspace.dir, 'config.yml');
    writeFileSync(config, REGISTRY_CONFIG);
    const node = workspace.start({ name: 'node', command: 'docker-registry', args: ['serve', config], env });
    await node.waitFor('accepts no connection', () => accepts(port));
    const password = readFileSync(join(dir, 'secrets/berth/probe-password'), 'utf8').trim();
    const trusting = ['--cacert', join(dir, 'secrets/ca/ca.crt'), '--resolve', `${NAME}:${port}:127.0.0.1`];
    const url = `https://${NAME}:${port}/v2/some/image/tags/list`;
    const answer = await workspace.run('curl', ['-sS', ...trusting, '--user', `berth:${password}`, url]);
    assert.match(answer, /NAME_UNKNOWN/);
    assert.match(
      asked[0] ?? '',
      /^GET \/images\?.*some%2Fimage.* AWS4-HMAC-SHA256 Credential=key\/\d+\/somewhere\/s3\//,
    );
  },
);
