import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { command } from '../support/operator.ts';

const DEBUG_TIMES = { dialtimeout: '100ms', readtimeout: '100ms', writetimeout: '100ms' };

suite('berth doctor on a good cluster', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  let debug: string;
  before(async () => {
    cluster = await startCluster({ nodes: 0, names: ['registry.test'] });
    const addresses = await Promise.all([0, 1].map(async () => `127.0.0.1:${await cluster.workspace.freePort()}`));
    debug = addresses.join(',');
    for (const addr of addresses) {
      const node = await cluster.addNode();
      await node.stop();
      // A layer over `http` would take the place of the debug address, so this one is the whole section.
      const { certificate, key } = await cluster.certificate('good');
      const http = { addr: node.endpoint, secret: cluster.defaults.secret, tls: { certificate, key }, debug: { addr } };
      await node.start({ override: { http, redis: { ...DEBUG_TIMES } } });
    }
  });
  after(() => cluster.close());

  test('finds nothing, 20 times out of 20, with every probe there is', async () => {
    for (let i = 0; i < 20; i++) {
      const { code, lines, out } = await doctor(cluster, { args: ['--write', '--debug', debug] });
      assert.deepEqual([code, lines], [0, []], `run ${i + 1}: ${out}`);
    }
  });

  test('says so in one line', async () => {
    const { code, out } = await doctor(cluster, { text: true });
    assert.deepEqual([code, out], [0, 'OK 2 nodes consistent\n']);
  });

  test('says in JSON which nodes it looked at', async () => {
    const { out } = await doctor(cluster);
    const nodes = cluster.nodes.map(({ name, endpoint }) => ({ name, address: endpoint }));
    assert.deepEqual(JSON.parse(out), { ok: true, nodes, counts: { FAIL: 0, WARN: 0, INFO: 0 }, findings: [] });
  });

  test('audits a node alone', async () => {
    const { code, out } = await doctor(cluster, {
      servers: [cluster.nodes[0]!.endpoint],
      text: true,
      args: ['--write'],
    });
    assert.deepEqual([code, out], [0, 'OK 1 node consistent\n']);
  });

  test('leaves no session, no link to a blob and, without --write, no repository behind', async () => {
    const repo = 'left/behind';
    await doctor(cluster, { args: ['--repo', repo] });
    const catalog = await cluster.workspace.run('curl', [
      '-sS',
      '--cacert',
      cluster.ca,
      '--user',
      `${cluster.user}:${cluster.password}`,
      '--connect-to',
      `::${cluster.nodes[0]!.endpoint}`,
      'https://registry.test/v2/_catalog',
    ]);
    assert.doesNotMatch(catalog, /left/);
    await doctor(cluster, { args: ['--repo', repo, '--write'] });
    const files = await readdir(`${cluster.defaults.storage}/docker/registry/v2/repositories/left`, {
      recursive: true,
    });
    // A registry 2.8 leaves the first state of the hash of an upload that is deleted, whoever deletes it.
    const left = files.filter((name) => /startedat$|data$|link$/.test(name));
    assert.deepEqual(left, []);
  });

  test('without a user looks at what strangers see, and says what it could not see', async () => {
    const { code, lines } = await doctor(cluster, { user: null });
    assert.deepEqual([code, lines], [0, ['INFO NO_CREDENTIALS s1, s2']]);
  });

  test('takes a name with a port for clients, and asks for the certificate without it', async () => {
    const { lines } = await doctor(cluster, { args: ['--name', 'registry.test:5000'] });
    assert.deepEqual(lines, []);
  });

  test('audits every address that a name leads to', async () => {
    const { port } = cluster.nodes[0]!;
    const { out } = await doctor(cluster, { servers: [`localhost:${port}`] });
    const { nodes } = JSON.parse(out) as { nodes: { address: string }[] };
    assert.ok(nodes.some(({ address }) => address === `127.0.0.1:${port}`));
  });
});

test('a call that cannot be run is one line on standard error, and exit 2', async (t) => {
  const cluster = await startCluster({ nodes: 0, redis: false });
  t.after(() => cluster.close());
  const file = `${cluster.workspace.dir}/b.yml`;
  const { writeFile } = await import('node:fs/promises');
  const backends = 'backends: { b: { servers: { s1: "127.0.0.1:1" } }, c: { servers: { s1: "127.0.0.1:1" } } }\n';
  await writeFile(file, `frontends: { f: { bind: "127.0.0.1:0", backend: b } }\n${backends}`);
  const named = ['-c', file, '--name', 'registry.test', '--backend', 'b'];
  const table: [string[], RegExp][] = [
    [['-c', file], /--backend is missing; one of b, c/],
    [['-c', file, '--backend', 'b'], /--name is missing/],
    [['-c', file, '--backend', 'bb', '--name', 'x'], /no backend bb\. Did you mean "b"\?/],
    [[...named, '--name', 'https://registry.test'], /is no HOST or HOST:PORT/],
    [[...named, '--name', 'registry.test/v2'], /is no HOST or HOST:PORT/],
    [[...named, '--ca', '/nowhere.pem'], /cannot read --ca \/nowhere\.pem: ENOENT/],
    [[...named, '--ca', file], /holds no PEM certificate/],
    [[...named, '--repo', 'Upper/Case'], /is no repository name/],
    [[...named, '--debug', 'nowhere'], /--debug nowhere is no HOST:PORT/],
    [[...named, '--user', 'u'], /--user needs --password-stdin/],
    [[...named, '--password-stdin'], /--password-stdin needs --user/],
    [[...named, '--user', 'u', '--password-stdin'], /there was no password on standard input/],
    [[...named, '--user', 'a:b', '--password-stdin'], /has no : in it/],
    [[...named, '--writ'], /unknown option --writ\. Did you mean "--write"\?/],
    [[...named, '--write=yes'], /--write takes no value/],
    [[...named, '--repo'], /--repo needs a value/],
    [[...named, '--ca', '--json'], /--ca needs a value/],
    [[...named, 'extra'], /doctor takes no argument "extra"/],
  ];
  for (const [args, expected] of table) {
    const { code, out, err } = await command('doctor', ...args);
    assert.match(err, /^berth: [^\n]+\n$/, args.join(' '));
    assert.match(err, expected);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
  assert.equal((await command('doctor', '-c', '/nowhere.yml', '--name', 'x')).code, 2);
});
