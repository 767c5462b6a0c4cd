import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { serverStatus } from '../support/operator.ts';
import { frontFor } from '../support/registry-berth.ts';
import { makeSigningKey, startTokenServer, type SigningKey, type TokenServer } from '../support/token-server.ts';

const REPOSITORY = 'berth/probe';
const OFTEN = { interval: '200ms', fastInterval: '100ms' };

suite('a check of the storage of registries with token authentication', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  let server: TokenServer;
  let keys: { rsa: SigningKey; ec: SigningKey };
  let passwordFile: string;
  before(async () => {
    cluster = await startCluster({ redis: false, nodes: 0 });
    keys = { rsa: await makeSigningKey(cluster, 'rsa', 'rsa'), ec: await makeSigningKey(cluster, 'ec', 'ec') };
    server = await startTokenServer(cluster, keys.rsa);
    for (let i = 0; i < 2; i++) await cluster.addNode({ htpasswd: null, override: server.auth() });
    passwordFile = join(cluster.workspace.dir, 'password');
    await writeFile(passwordFile, `${cluster.password}\n`);
  });
  after(() => cluster.close());

  const storage = () => ({ repository: REPOSITORY, user: cluster.user, passwordFile });
  const checked = { healthCheck: { ...OFTEN } };

  for (const kind of ['rsa', 'ec'] as const) {
    test(`asks with a token that is signed with a key of kind ${kind}, one for all nodes`, async (t) => {
      server.manners.signedWith = keys[kind];
      const nodes = cluster.nodes.slice(0, 2);
      if (kind === 'ec') {
        for (const node of nodes) await node.stop();
        for (const node of nodes) await node.start({ override: server.auth(keys.ec) });
      }
      const [asked, given] = [server.asked.length, server.given.length];
      const berth = await frontFor(t, cluster, { nodes, healthCheck: { ...checked.healthCheck, storage: storage() } });
      for (const { name } of nodes) {
        await berth.metricReaches('berth_server_checks_total', (checks) => checks >= 3, name);
        assert.equal(await berth.sum('berth_server_storage_known', name), 1);
        assert.equal(await berth.sum('berth_server_up', name), 1);
      }
      for (const node of nodes) {
        const answer = node.requests().findLast(({ path }) => path === `/v2/${REPOSITORY}/tags/list`);
        assert.deepEqual([answer?.status, answer?.agent], [404, 'berth'], node.name);
      }
      assert.deepEqual(server.asked.slice(asked), [`repository:${REPOSITORY}:pull`]);
      const log = JSON.stringify(berth.lines);
      for (const token of server.given.slice(given)) assert.ok(!log.includes(token), 'a token in the log');
    });
  }

  test('takes no node down for a wrong password, a token server that is away, or a node that refuses the token', async (t) => {
    const wrong = join(cluster.workspace.dir, 'wrong-password');
    await writeFile(wrong, 'wrong\n');
    const berth = await frontFor(t, cluster, {
      healthCheck: { ...OFTEN, fall: 1, storage: { ...storage(), passwordFile: wrong } },
    });
    const { reason } = await berth.line(({ msg, server: name }) => msg === 'storage unknown' && name === 's1');
    assert.match(String(reason), /^the token server at https:\/\/localhost:\d+\/token refuses the user \(401\)/);
    await berth.metricReaches('berth_server_checks_total', (checks) => checks >= 5, 's1');
    assert.equal(await berth.sum('berth_server_up'), 2);
    assert.equal(await berth.sum('berth_server_storage_known'), 0);
    const seen = await serverStatus(berth, 's1');
    assert.deepEqual([seen?.up, seen?.storage, seen?.storageReason], [true, 'unknown', reason]);
    assert.equal(berth.lines.filter(({ msg, server: name }) => msg === 'storage unknown' && name === 's1').length, 1);
    assert.ok(!berth.lines.some(({ msg }) => msg === 'server down'));

    await writeFile(wrong, `${cluster.password}\n`);
    berth.signal('SIGHUP');
    await berth.line(({ msg, server: name }) => msg === 'storage known' && name === 's1');
    assert.equal(await berth.sum('berth_server_up'), 2);

    server.manners.signedWith = keys.rsa;
    server.manners.instead = (_, response) => response.writeHead(503).end();
    t.after(() => (server.manners.instead = undefined));
    const away = await frontFor(t, cluster, { healthCheck: { ...OFTEN, fall: 1, storage: storage() } });
    const line = await away.line(({ msg, server: name }) => msg === 'storage unknown' && name === 's2');
    assert.match(String(line['reason']), /\/token answered 503; its log says why$/);
    assert.equal(await away.sum('berth_server_up'), 2);

    // Signed with the key that the nodes had before.
    server.manners.instead = undefined;
    const refused = await frontFor(t, cluster, { healthCheck: { ...OFTEN, fall: 1, storage: storage() } });
    const told = await refused.line(({ msg, server: name }) => msg === 'storage unknown' && name === 's1');
    assert.match(String(told['reason']), /answered 401: the node refuses the token; compare/);
    assert.equal(await refused.sum('berth_server_up'), 2);
  });
});
