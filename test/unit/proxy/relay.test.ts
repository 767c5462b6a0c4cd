import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { probeOnread } from '../../../src/proxy/relay/probe-onread.ts';
import { eventSockets, onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import { Pattern, type Peer } from '../../support/peer.ts';
import { RelayStand, type Flow } from '../../support/relay-stand.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const UP = new Pattern(1);
const DOWN = new Pattern(2);

/** Each end of a flow, as sender and as receiver, with the pattern that goes that way. */
const WAYS = [
  { way: 'from client to server', pattern: UP, sender: 'client', receiver: 'server' },
  { way: 'from server to client', pattern: DOWN, sender: 'server', receiver: 'client' },
] as const;

function assertGot(peer: Peer, bytes: number): void {
  assert.deepEqual({ bytes: peer.received, corruptAt: peer.corruptAt }, { bytes, corruptAt: undefined });
}

test('this Node can read sockets into buffers of ours', async () => {
  assert.equal(await probeOnread(), true);
});

/** Node 26 itself writes so, below its streams. */
const STREAMS_ARE_DEAR = Number.parseInt(process.versions.node) < 26;

test('what the kernel takes at once does not pass through the stream, where that is dear', async (t) => {
  await using stand = await RelayStand.open(onreadSockets);
  const flow = await stand.flow();
  const { client, server } = flow.inner;
  assert.ok(server);
  const written = [client, server].map((socket) => t.mock.method(socket, '_write'));
  for (let sent = 0; sent < 10; sent++) {
    await flow.client.send(UP, 100);
    await flow.server.gets(100 * (sent + 1));
    await flow.server.send(DOWN, 100);
    await flow.client.gets(100 * (sent + 1));
  }
  assert.deepEqual(
    written.map(({ mock }) => mock.callCount()),
    STREAMS_ARE_DEAR ? [0, 0] : [10, 10],
  );
  // What does not fit does.
  const before = written[1]?.mock.callCount() ?? 0;
  flow.server.pause();
  await flow.fill('client', UP);
  assert.ok((written[1]?.mock.callCount() ?? 0) > before);
});

test('a client that finishes behind an answer is believed without a write that asks the kernel', async (t) => {
  await using stand = await RelayStand.open(onreadSockets);
  const flow = await stand.flow();
  const { mock } = t.mock.method(flow.inner.client, '_write');
  await flow.client.send(UP, 100);
  await flow.server.gets(100);
  await flow.server.send(DOWN, 100);
  await flow.client.gets(100);
  const before = mock.callCount();
  flow.client.end();
  await flow.server.getsEnd();
  assert.equal(mock.callCount(), before);
  flow.server.end();
  await flow.endsAs('--');
});

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`a relay over ${sockets.name} sockets`, () => {
    for (const { way, pattern, sender, receiver } of WAYS) {
      test(`carries every size ${way}`, async () => {
        await using stand = await RelayStand.open(sockets);
        for (const bytes of [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1]) {
          const flow = await stand.flow();
          flow[receiver].expects = pattern;
          const sent = flow[sender].send(pattern, bytes);
          flow[receiver].read();
          await sent;
          flow[sender].end();
          await flow[receiver].getsEnd();
          assertGot(flow[receiver], bytes);
          flow[receiver].end();
          await flow.endsAs('--');
          assert.equal(sender === 'client' ? flow.relay.bytesIn : flow.relay.bytesOut, bytes);
        }
      });

      test(`carries bytes that come one at a time ${way}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[receiver].expects = pattern;
        for (let sent = 1; sent <= 300; sent++) {
          await flow[sender].send(pattern, 1);
          await flow[receiver].gets(sent);
        }
        assertGot(flow[receiver], 300);
      });
    }

    test('carries 50 MB each way at once', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      flow.client.expects = DOWN;
      flow.server.expects = UP;
      await Promise.all([
        flow.client.send(UP, 50_000_000).then(() => flow.client.end()),
        flow.server.send(DOWN, 50_000_000).then(() => flow.server.end()),
        flow.client.getsEnd(),
        flow.server.getsEnd(),
      ]);
      assertGot(flow.client, 50_000_000);
      assertGot(flow.server, 50_000_000);
      await flow.endsAs('--');
    });

    test('lets the server speak first', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      flow.client.expects = DOWN;
      await flow.server.send(DOWN, 20);
      await flow.client.gets(20);
      assertGot(flow.client, 20);
      assert.equal(flow.relay.bytesIn, 0);
    });

    test('keeps what a client sends before its server is there', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      for (let sent = 1; sent <= 3; sent++) await flow.client.send(UP, 1_000);
      await seen(flow, () => flow.waiting.first.length === 3_000);
      await flow.join();
      flow.server.expects = UP;
      await flow.client.send(UP, 1_000);
      await flow.server.gets(4_000);
      assertGot(flow.server, 4_000);
    });

    test('keeps an end that comes before the server is there', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const bytes of [0, 1_000]) {
        const flow = await stand.arrive();
        await flow.client.send(UP, bytes);
        flow.client.end();
        await seen(flow, () => flow.waiting.hasFinished);
        await flow.join();
        flow.server.expects = UP;
        await flow.server.getsEnd();
        assertGot(flow.server, bytes);
        flow.client.expects = DOWN;
        await flow.server.send(DOWN, 1_000);
        flow.server.end();
        await flow.client.getsEnd();
        assertGot(flow.client, 1_000);
        await flow.endsAs('--');
      }
    });

    test('takes no more than a little before the server is there, and loses none of the rest', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      const sent = flow.client.send(UP, 8 * MIB).then(() => flow.client.end());
      await seen(flow, () => flow.waiting.first.length >= 64 * KIB);
      // The last read that is begun below the cap may go beyond it by its own size.
      assert.ok(flow.waiting.first.length < 192 * KIB, `${flow.waiting.first.length} bytes`);
      await flow.join();
      flow.server.expects = UP;
      await Promise.all([sent, flow.server.getsEnd()]);
      assertGot(flow.server, 8 * MIB);
    });

    test('puts a header before the first bytes, and does not count it', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const early of [0, 500]) {
        const flow = await stand.arrive();
        await flow.client.send(UP, early);
        await seen(flow, () => flow.waiting.first.length === early);
        const header = Buffer.from('PROXY UNKNOWN\r\n');
        await flow.join(header);
        await flow.client.send(UP, 500);
        await flow.server.gets(header.length + early + 500);
        assert.equal(flow.relay.bytesIn, early + 500);
      }
    });

    for (const begins of ['a header', 'first bytes'] as const) {
      for (const finishes of [false, true]) {
        const behind = finishes ? 'its end' : 'what follows';
        test(`keeps ${behind} waiting while the kernel has not taken ${begins}`, async () => {
          await using stand = await RelayStand.open(sockets);
          const flow = await stand.arrive();
          const piece = stretch(UP, 32 * MIB);
          if (begins === 'first bytes') flow.waiting.received(piece);
          flow.client.sent = piece.length;
          if (finishes) {
            flow.client.end();
            await seen(flow, () => flow.waiting.hasFinished);
          }
          await flow.join(begins === 'first bytes' ? undefined : piece);
          const begun = flow.relay.bytesIn;
          if (!finishes) await flow.client.send(UP, 100 * KIB, () => 10 * KIB);
          assert.ok((flow.inner.server?.writableLength ?? 0) > 0, 'the server has not read, and its kernel is full');
          await turns(20);
          assert.equal(flow.relay.bytesIn, begun);
          flow.server.expects = UP;
          await flow.server.gets(piece.length);
          if (!finishes) await flow.client.send(UP, MIB);
          flow.client.end();
          await flow.server.getsEnd();
          assertGot(flow.server, flow.client.sent);
          flow.server.end();
          await flow.endsAs('--');
        });
      }
    }

    test('keeps what follows waiting while the kernel has not taken what was written before', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      const piece = stretch(UP, 32 * MIB);
      await flow.join(undefined, async () => void flow.inner.server?.write(piece));
      flow.client.sent = piece.length;
      await flow.client.send(UP, 100 * KIB, () => 10 * KIB);
      await turns(20);
      assert.equal(flow.relay.bytesIn, 0);
      flow.server.expects = UP;
      flow.client.end();
      await flow.server.getsEnd();
      assertGot(flow.server, flow.client.sent);
      flow.server.end();
      await flow.endsAs('--');
    });

    test('loses nothing of what a client has sent with its end, where the server has finished before', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      const piece = stretch(UP, 32 * MIB);
      await flow.join(undefined, async () => {
        flow.server.end();
        await flow.client.getsEnd();
        flow.waiting.received(piece);
        flow.client.end();
        await seen(flow, () => flow.waiting.hasFinished);
      });
      flow.server.expects = UP;
      await flow.server.getsEnd();
      assertGot(flow.server, piece.length);
      await flow.endsAs('--');
    });

    test('that ends before the client’s bytes may flow takes none of them', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      await flow.join(undefined, async () => flow.relay.close());
      flow.relay.forward({ first: Buffer.from('too late') });
      assert.equal(flow.relay.bytesIn, 0);
      await flow.endsAs('closed');
    });

    test('of a client that is closed already ends with its server', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      flow.inner.client.destroy();
      await once(flow.inner.client, 'close');
      await flow.join();
      flow.relay.close();
      await flow.endsAs('closed');
    });

    for (const { sender: first, receiver: second, pattern } of WAYS) {
      const other = pattern === UP ? DOWN : UP;
      test(`goes on to the ${first} after the ${first} has finished`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[first].expects = other;
        await flow[first].send(pattern, 10);
        flow[first].end();
        await flow[second].getsEnd();
        for (let round = 1; round <= 3; round++) {
          await flow[second].send(other, 700_000);
          await flow[first].gets(700_000 * round);
        }
        flow[second].end();
        await flow[first].getsEnd();
        assertGot(flow[first], 2_100_000);
        await flow.endsAs('--');
      });
    }

    test('ends in peace when both finish at once', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      flow.client.end();
      flow.server.end();
      await Promise.all([flow.client.getsEnd(), flow.server.getsEnd()]);
      await flow.endsAs('--');
    });
  });
}

/** Resolves when what the proxy has seen of the client is enough. */
async function seen({ waiting }: Flow, look: () => boolean): Promise<void> {
  await waiting.peek(() => (look() ? {} : undefined), Infinity);
}

/** The first `bytes` of a pattern in one piece. */
function stretch(pattern: Pattern, bytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let made = 0; made < bytes; made += pieces.at(-1)!.length) pieces.push(pattern.at(made, bytes - made));
  return Buffer.concat(pieces);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
