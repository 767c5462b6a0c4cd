import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { BERTH, BERTH_WORDS, start } from '../support/berth.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { folderOf } from '../support/files.ts';
import type { RegistryNode } from '../support/node.ts';
import { blocksBelow } from '../support/pages.ts';
import { makeSigningKey, startTokenServer } from '../support/token-server.ts';

const [program, ...args] = BERTH;

suite('berth init and real registries', { timeout: 180_000 }, () => {
  let cluster: Cluster;
  before(async () => void (cluster = await startCluster({ redis: false })));
  after(() => cluster.close());

  /** The file for these nodes; Berth, started with it, has checked each of them and found it up. */
  async function fileFor(t: TestContext, ...nodes: RegistryNode[]): Promise<string> {
    const given = nodes.map(({ name, endpoint }) => `${name}=${endpoint}`);
    const file = await cluster.workspace.run(program, [...args, 'init', '--bind', '127.0.0.1:0', ...given]);
    const own = `metrics: { bind: '127.0.0.1:0' }\nadmin: { bind: 'unix:${join(folderOf(t), 'admin.sock')}' }\n`;
    const berth = await start(t, file + own);
    for (const { name } of nodes) {
      const labels = `backend="docker_registry",server="${name}"`;
      await berth.metricIs(`berth_server_checks_total{${labels},result="passed"}`, (checks) => checks > 0);
      await berth.metricIs(`berth_server_up{${labels}}`, 1);
    }
    return file;
  }

  test('nodes with TLS and users: GET /v2/ over TLS', async (t) => {
    const file = await fileFor(t, ...cluster.nodes.slice(0, 2));
    const seen = String.raw`registry, TLS for registry\.test, localhost, 127\.0\.0\.1 until 20\d\d-\d\d-\d\d`;
    for (const name of ['s1', 's2']) {
      assert.match(
        file,
        new RegExp(`^# ${name}: ${seen} \\(not trusted here: .*\\), asks for a password \\(Basic\\)$`, 'm'),
      );
    }
    assert.match(file, /^ {4}healthCheck: \{ type: registry, tls: true \}$/m);
    assert.match(file, /it does with tls: \{ ca: FILE, serverName: registry\.test \}$/m);
    assert.doesNotMatch(file, /The servers differ/);
  });

  test('an open node without TLS: its storage is asked for, too', async (t) => {
    const open = await cluster.addNode({ certificate: null, htpasswd: null });
    const file = await fileFor(t, open);
    assert.match(file, new RegExp(`^# ${open.name}: registry, no TLS, lets anybody in, its storage answers$`, 'm'));
    assert.match(file, /healthCheck: \{ type: registry, storage: \{ repository: berth\/probe \} \}$/m);
  });

  test('a node with tokens: the realm is named, and that its fellow has passwords', async (t) => {
    const server = await startTokenServer(cluster, await makeSigningKey(cluster, 'rsa', 'rsa'));
    const node = await cluster.addNode({ htpasswd: null, override: server.auth() });
    const file = await fileFor(t, cluster.nodes[0]!, node);
    assert.ok(file.includes(`asks for a token (Bearer, ${server.realm})\n`), file);
    assert.ok(file.includes(`# The servers differ: s1: a password; ${node.name}: tokens of ${server.realm}\n`), file);
  });

  test('a node that asks clients for a certificate is checked without', async () => {
    const { certificate, key } = await cluster.certificate('good');
    const tls = { certificate, key, clientcas: [cluster.ca] };
    const node = await cluster.addNode({ override: { http: { tls } } });
    const given = `${node.name}=${node.endpoint}`;
    const file = await cluster.workspace.run(program, [...args, 'init', given]);
    assert.match(
      file,
      new RegExp(`^# ${node.name}: TLS for registry\\.test, .*, asks clients for a certificate$`, 'm'),
    );
    assert.doesNotMatch(file, /^ *healthCheck:/m);
  });

  test('the first hour of docs/install.md, from berth init to a push that berth sessions knows', async (t) => {
    const { workspace, user, password } = cluster;
    const folder = folderOf(t);
    const port = await workspace.freePort();
    await copyFile(cluster.ca, join(folder, 'ca.crt'));
    await writeFile(join(folder, 'password'), password);
    const image = await cluster.makeImage({ layers: 2, layerBytes: 1 << 20 });
    const here: [string, string][] = [
      ['berth init', `berth init --bind 127.0.0.1:${port}`],
      ['10.0.0.11:5000', cluster.nodes[0]!.endpoint],
      ['10.0.0.12:5000', cluster.nodes[1]!.endpoint],
      ['--user alice', `--user ${user}`],
      ['--name registry.example.com', '--name registry.test'],
      ['docker://registry.example.com', `docker://127.0.0.1:${port}`],
      ['skopeo copy', `skopeo copy --insecure-policy --dest-cert-dir . --dest-creds ${user}:${password}`],
      ['docker-archive:image.tar', image.source],
    ];
    const blocks = blocksBelow('docs/install.md', 'The first hour').map((block) =>
      here.reduce((text, [there, instead]) => text.replaceAll(there, instead), block),
    );
    assert.deepEqual([blocks.length, blocks[2]], [4, 'berth start\n']);
    const env = { _CONTAINERS_ROOTLESS_UID: '1' };
    const shell = (text: string): Promise<string> => {
      const berth = `berth() { ${BERTH_WORDS} "$@"; }`;
      return workspace.run('bash', ['-ec', `${berth}; cd '${folder}'; ${text}`], { env });
    };
    assert.match(await shell(blocks[0]!), /balancer\.yml is valid: 1 frontend, 1 backend, 2 servers\n$/);
    const file = await readFile(join(folder, 'balancer.yml'), 'utf8');
    const own = `metrics: { bind: '127.0.0.1:0' }\nadmin: { bind: 'unix:${join(folder, 'admin.sock')}' }\n`;
    await writeFile(join(folder, 'balancer.yml'), file + own);
    assert.equal(await shell(blocks[1]!), 'OK 2 nodes consistent\n');
    await start(t, file + own, { file: join(folder, 'balancer.yml') });
    const said = await shell(blocks[3]!);
    assert.match(said, /^ +s1 +\S+ +up /m);
    assert.match(said, /127\.0\.0\.1 .*push/);
    assert.match(said, /^docker_registry: bound to s[12]/m);
  });
});
