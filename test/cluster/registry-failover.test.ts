import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { differences, type Image } from '../support/image.ts';
import type { RegistryNode } from '../support/node.ts';
import { failed, frontFor, serversOf, type RegistryBerth } from '../support/registry-berth.ts';

/** Berth then learns of a node's death from a client's connection, and from nothing else. */
const NO_CHECKS_BUT_THE_FIRST = { interval: '1h', fastInterval: '1h' };

suite('a registry node fails', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  let small: Image;
  before(async () => {
    cluster = await startCluster();
    small = await cluster.makeImage({ layers: 2, layerBytes: 200_000 });
  });
  after(() => cluster.close());

  /** The node that the client of `port` is bound to, which it is by a push, and the other one. */
  async function bind(berth: RegistryBerth, port: number): Promise<[RegistryNode, RegistryNode]> {
    await cluster.push(small, 'bound/client:1', port);
    const servers = serversOf(await berth.newConnections());
    const own = cluster.nodes.find(({ name }) => name === servers[0]);
    const other = cluster.nodes.find(({ name }) => name !== servers[0]);
    assert.ok(servers.length === 1 && own && other, `bound to ${servers.join(' and ')}`);
    return [own, other];
  }

  /** A push of a fresh image, and its connections. */
  async function push(berth: RegistryBerth, repository: string, port: number) {
    const image = await cluster.makeImage({ layers: 2, layerBytes: 200_000 });
    await cluster.push(image, repository, port);
    return berth.newConnections();
  }

  test('a node killed between two pushes costs its client nothing: the first connection moves it, the others follow', async (t) => {
    const berth = await frontFor(t, cluster, { healthCheck: NO_CHECKS_BUT_THE_FIRST });
    const port = await berth.port();
    const [own, other] = await bind(berth, port);
    await own.kill();
    t.after(() => own.running || own.start());
    const [first, ...rest] = await push(berth, 'killed/between:1', port);
    assert.deepEqual(
      { server: first?.server, via: first?.via, retries: first?.retries },
      { server: other.name, via: 'redispatched', retries: 1 },
    );
    assert.deepEqual(serversOf(rest), [other.name]);
    assert.deepEqual(new Set(rest.map(({ via, retries }) => `${via} ${retries}`)), new Set(['stuck 0']));
    assert.deepEqual(failed([first!, ...rest]), []);
    assert.equal(await berth.sum('berth_backend_redispatches_total'), 1);
    assert.equal(await berth.sum('berth_stick_table_moves_total'), 1);
  });

  test('a client that was moved stays where it is when its first node comes back, and new clients find both', async (t) => {
    const berth = await frontFor(t, cluster, { healthCheck: { interval: '200ms', fastInterval: '100ms' } });
    const port = await berth.port();
    const [own, other] = await bind(berth, port);
    await own.kill();
    t.after(() => own.running || own.start());
    assert.equal((await berth.change('server down', own.name))['reason'], 'connection refused');
    assert.deepEqual(serversOf(await push(berth, 'moved/away:1', port)), [other.name]);
    await own.start();
    await berth.change('server up', own.name);
    const back = await push(berth, 'moved/away:2', port);
    assert.deepEqual(serversOf(back), [other.name]);
    assert.deepEqual(new Set(back.map(({ via }) => via)), new Set(['stuck']));
    const newcomers = [];
    for (const address of ['127.0.0.5', '127.0.0.6']) {
      const door = (await cluster.connectFrom(address, port)).port;
      newcomers.push(...serversOf(await push(berth, `from/${address}:1`, door)));
    }
    assert.deepEqual(new Set(newcomers), new Set(['s1', 's2']));
  });

  test('a node killed in the middle of a push: made again at once, the push succeeds on the other node', async (t) => {
    const berth = await frontFor(t, cluster);
    const port = await berth.port();
    const [own, other] = await bind(berth, port);
    const image = await cluster.makeImage({ layers: 1, layerBytes: 100_000_000 });
    const base = await berth.sum('berth_server_bytes_in_total', own.name);
    const flowed = 8_000_000;
    // skopeo gives a push up when an upload breaks; docker makes the upload again.
    const broken = cluster.push(image, 'killed/during:1', port).then(
      () => 'skopeo got over it',
      (error: Error) => error.message,
    );
    await berth.metricReaches('berth_server_bytes_in_total', (bytes) => bytes > base + flowed, own.name);
    await own.kill();
    t.after(() => own.running || own.start());
    t.diagnostic(await broken);
    const upload = (await berth.newConnections()).find((connection) => connection.in > flowed);
    assert.equal(upload?.server, own.name);
    assert.match(upload.end, /^S[DL]$/, 'the node is named as the one that ended it');

    await cluster.push(image, 'killed/during:1', port);
    const again = await berth.newConnections();
    assert.deepEqual(serversOf(again), [other.name]);
    assert.deepEqual(failed(again), []);
    const pulled = await cluster.pull('killed/during:1', port);
    assert.deepEqual(await differences(image, pulled.dir), []);
  });

  test('a frozen node, which still accepts connections, is taken out; pushes go on at the other; thawed, it comes back', async (t) => {
    // So long a wait that a busy machine does not pass for a frozen one.
    const healthCheck = { interval: '200ms', fastInterval: '100ms', timeout: '5s', fall: 1 };
    const berth = await frontFor(t, cluster, { healthCheck });
    const port = await berth.port();
    const [own, other] = await bind(berth, port);
    own.freeze();
    t.after(() => own.thaw());
    assert.equal((await berth.change('server down', own.name))['reason'], 'no answer within 5s');
    const connections = await push(berth, 'frozen/node:1', port);
    assert.deepEqual(serversOf(connections), [other.name]);
    assert.deepEqual(failed(connections), []);
    own.thaw();
    await berth.change('server up', own.name);
    assert.equal(await berth.sum('berth_server_up'), 2);
    assert.deepEqual(serversOf(await push(berth, 'frozen/node:2', port)), [other.name]);
  });
});
