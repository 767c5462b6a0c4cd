import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { differences } from '../support/image.ts';
import { failed, frontFor, serversOf } from '../support/registry-berth.ts';

suite('a registry cluster behind Berth', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster.close());

  test('an image comes back byte for byte, all of its connections on one node, as the nodes themselves say', async (t) => {
    const berth = await frontFor(t, cluster);
    const image = await cluster.makeImage({ layers: 3, layerBytes: 8_000_000 });
    await cluster.push(image, 'whole/image:1', await berth.port());
    const pulled = await cluster.pull('whole/image:1', await berth.port());
    assert.deepEqual(await differences(image, pulled.dir), []);

    const connections = await berth.newConnections();
    const [server] = serversOf(connections);
    assert.deepEqual(serversOf(connections), [server]);
    assert.deepEqual(
      connections.map(({ via }) => via),
      ['balanced', ...connections.slice(1).map(() => 'stuck')],
    );
    assert.deepEqual(failed(connections), []);
    for (const node of cluster.nodes) {
      assert.equal(node.peers('skopeo/').size, node.name === server ? connections.length : 0, node.name);
    }
    const bytes = { in: 0, out: 0 };
    for (const connection of connections) {
      bytes.in += connection.in;
      bytes.out += connection.out;
    }
    assert.ok(bytes.in > image.bytes && bytes.out > image.bytes, JSON.stringify({ bytes, image }));
    assert.equal(await berth.sum('berth_server_bytes_in_total', server), bytes.in);
    assert.equal(await berth.sum('berth_server_bytes_out_total', server), bytes.out);
  });

  test('clients of two addresses push at the same time, each to a node of its own', async (t) => {
    const berth = await frontFor(t, cluster);
    const port = await berth.port();
    const clients = await Promise.all(
      ['127.0.0.2', '127.0.0.3'].map(async (address) => ({
        address,
        repository: `from/${address}`,
        door: (await cluster.connectFrom(address, port)).port,
        image: await cluster.makeImage({ layers: 2, layerBytes: 6_000_000 }),
      })),
    );
    await Promise.all(clients.map(({ image, repository, door }) => cluster.push(image, `${repository}:1`, door)));
    const connections = await berth.newConnections();
    assert.deepEqual(failed(connections), []);
    const owners = clients.map(({ address, repository }) => {
      const servers = serversOf(connections.filter(({ client }) => client.startsWith(`${address}:`)));
      assert.equal(servers.length, 1, `${address} went to ${servers.join(' and ')}`);
      const answered = cluster.nodes.filter((node) =>
        node.requests().some(({ path }) => path.startsWith(`/v2/${repository}/`)),
      );
      assert.deepEqual(
        answered.map(({ name }) => name),
        servers,
      );
      return servers[0];
    });
    assert.deepEqual(new Set(owners), new Set(['s1', 's2']));

    // Each reads what the other has pushed: the nodes are one registry.
    const [one, other] = clients;
    assert.ok(one && other);
    const pulled = await cluster.pull(`${other.repository}:1`, one.door);
    assert.deepEqual(await differences(other.image, pulled.dir), []);
  });

  test('six pushes of one new client that begin together do not split', async (t) => {
    const berth = await frontFor(t, cluster);
    const door = (await cluster.connectFrom('127.0.0.4', await berth.port())).port;
    const images = await Promise.all(
      Array.from({ length: 6 }, () => cluster.makeImage({ layers: 1, layerBytes: 100_000 })),
    );
    await Promise.all(images.map((image, i) => cluster.push(image, `together/${i}:1`, door)));
    assert.equal(serversOf(await berth.newConnections()).length, 1);
  });
});
