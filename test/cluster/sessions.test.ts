/** What Berth says of a real client: one session a push or pull, and who stood behind an address in a node's log. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { api } from '../support/operator.ts';
import { frontFor, serversOf, type Connection, type RegistryBerth } from '../support/registry-berth.ts';

const CLIENT = '127.0.0.5';

/** The `nth` session of the client, when it is over, as the log has it. */
async function session(berth: RegistryBerth, nth: number): Promise<Record<string, unknown>> {
  return berth.until(
    () => berth.lines.filter(({ event, client }) => event === 'session' && client === CLIENT)[nth - 1],
  );
}

/** What the lines of connections say of all of them together. */
function together(connections: readonly Connection[]): object {
  return {
    server: serversOf(connections).join(),
    connections: connections.length,
    in: connections.reduce((sum, one) => sum + one.in, 0),
    out: connections.reduce((sum, one) => sum + one.out, 0),
  };
}

suite('what Berth says of the clients of a registry', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster.close());

  test('a push is one session, a pull another, with all their connections and bytes', async (t) => {
    const berth = await frontFor(t, cluster);
    const door = (await cluster.connectFrom(CLIENT, await berth.port())).port;
    const image = await cluster.makeImage({ layers: 3, layerBytes: 4_000_000 });
    for (const [i, direction] of (['push', 'pull'] as const).entries()) {
      if (direction === 'push') await cluster.push(image, 'sessions/image:1', door);
      else await cluster.pull('sessions/image:1', door);
      const connections = (await berth.newConnections()).filter(({ client }) => client.startsWith(`${CLIENT}:`));
      const { server, in: bytesIn, out, connections: count, ...rest } = await session(berth, i + 1);
      assert.deepEqual({ server, in: bytesIn, out, connections: count }, together(connections));
      assert.deepEqual([rest['direction'], rest['moves'], rest['backend']], [direction, 0, 'docker_registry']);
      assert.ok(Number(direction === 'push' ? bytesIn : out) > image.bytes);
      const series = `{backend="docker_registry",server="${String(server)}",direction="${direction}"}`;
      assert.equal(await berth.metric(`berth_session_total${series}`), 1);
      assert.equal(await berth.metric(`berth_session_bytes_in_total${series}`), bytesIn);
    }
    const all = berth.lines.filter(({ event, client }) => event === 'session' && client === CLIENT);
    assert.equal(all.length, 2);
  });

  test('the address in a node’s own log leads to the client', async (t) => {
    const berth = await frontFor(t, cluster);
    const door = (await cluster.connectFrom(CLIENT, await berth.port())).port;
    const peers = (): string[] => cluster.nodes.flatMap((node) => [...node.peers('skopeo/')]);
    const known = new Set(peers());
    await cluster.push(await cluster.makeImage({ layers: 1, layerBytes: 100_000 }), 'whois/image:1', door);
    const [server] = serversOf(await berth.newConnections());
    const fresh = peers().filter((peer) => !known.has(peer));
    assert.ok(fresh.length > 0);
    for (const peer of fresh) {
      const { status, body } = await api(berth, 'GET', `/api/v1/whois?from=${peer}`);
      const { client, server: to, open } = body as Record<string, unknown>;
      assert.match(String(client), /^127\.0\.0\.5:\d+$/, `${peer}: ${status} ${JSON.stringify(body)}`);
      assert.deepEqual([to, open], [server, false]);
    }
  });
});
