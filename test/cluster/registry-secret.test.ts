import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { frontFor, serversOf } from '../support/registry-berth.ts';

suite('registry nodes whose HTTP secrets differ', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ nodes: [{ secret: 'one' }, { secret: 'two' }] });
  });
  after(() => cluster.close());

  // Small, so that a node that turns an upload away has read it: a client that is still sending may not read why.
  const freshImage = () => cluster.makeImage({ layers: 2, layerBytes: 1_000 });

  test('take every push of a client that sticks to one of them', async (t) => {
    const berth = await frontFor(t, cluster);
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) {
      const door = (await cluster.connectFrom(address, await berth.port())).port;
      await cluster.push(await freshImage(), `sticky/${address}:1`, door);
    }
    assert.deepEqual(serversOf(await berth.newConnections()), ['s1', 's2']);
  });

  test('take no push whose connections are balanced one by one: blob upload invalid', async (t) => {
    const berth = await frontFor(t, cluster, { backend: { stickTable: false } });
    for (let i = 0; i < 3; i++) {
      const push = cluster.push(await freshImage(), `scattered/${i}:1`, await berth.port());
      await assert.rejects(push, /blob upload invalid/);
    }
  });
});
