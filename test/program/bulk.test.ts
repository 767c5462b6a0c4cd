/**
 * Bulk transfer through a running Berth. Its peers are in another process: what a reader takes while Berth writes makes
 * room for the rest of the same write, which does not happen where both take turns in one process.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { start } from '../support/berth.ts';
import { Pattern, Peer } from '../support/peer.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';

const BYTES = 64 << 20;
const UP = new Pattern(1);
const DOWN = new Pattern(2);

type Flow = { readonly client: Peer; readonly server: Peer };

/**
 * Connections through one Berth, of which the client has said a byte. In every second one the readers often let others
 * go first.
 */
async function flows(t: TestContext, count: number): Promise<Flow[]> {
  let served!: (server: Peer) => void;
  const [server] = await serve(
    t,
    ['s'],
    (socket) =>
      void hear(socket).then(
        (peer) => served(peer),
        () => {},
      ),
    { allowHalfOpen: true },
  );
  const berth = await start(t, settings([server!]));
  const port = await berth.port();
  const opened: Flow[] = [];
  while (opened.length < count) {
    const arrival = new Promise<Peer>((resolve) => (served = resolve));
    const client = new Peer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
    t.after(() => client.socket.destroy());
    await client.send(UP, 1);
    const flow = { client, server: await arrival };
    for (const peer of [flow.client, flow.server]) peer.pausesOften = opened.length % 2 === 1;
    opened.push(flow);
  }
  return opened;
}

/** Rejects for a health check, which says nothing. */
async function hear(socket: Socket): Promise<Peer> {
  const peer = new Peer(socket);
  peer.expects = UP;
  await peer.gets(1);
  return peer;
}

async function carry(pattern: Pattern, from: Peer, to: Peer): Promise<void> {
  to.expects = pattern;
  await Promise.all([from.send(pattern, BYTES - from.sent).then(() => from.end()), to.getsEnd()]);
  assert.deepEqual([to.received, to.corruptAt], [BYTES, undefined]);
}

test('downloads come whole', { timeout: 120_000 }, async (t) => {
  await Promise.all((await flows(t, 4)).map(({ client, server }) => carry(DOWN, server, client)));
});

test('uploads come whole', { timeout: 120_000 }, async (t) => {
  await Promise.all((await flows(t, 4)).map(({ client, server }) => carry(UP, client, server)));
});

test('both ways at once come whole', { timeout: 120_000 }, async (t) => {
  const both = (await flows(t, 2)).flatMap(({ client, server }) => [
    carry(UP, client, server),
    carry(DOWN, server, client),
  ]);
  await Promise.all(both);
});
