/** A client that has no server yet: what it has said, whether it is gone, and how it is turned away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Client } from '../../../src/proxy/client.ts';
import { RelayBuffers } from '../../../src/proxy/relay/buffers.ts';
import { eventSockets, onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import { folderOf } from '../../support/files.ts';
import { Pattern, type Peer } from '../../support/peer.ts';
import { timers } from '../../support/proxy-stand.ts';
import { RelayStand } from '../../support/relay-stand.ts';

const BYTES = new Pattern(8);
const KIB = 1 << 10;

/** Decides when a line is whole. */
function line(bytes: Buffer): { readonly text: string } | undefined {
  const end = bytes.indexOf('\n');
  return end < 0 ? undefined : { text: bytes.toString('latin1', 0, end) };
}

/** Resolves when so many bytes of the client are there. */
async function has(client: Client, bytes: number): Promise<void> {
  await client.peek(({ length }) => (length >= bytes ? {} : undefined), Infinity);
}

/** How a client leaves before it has said enough, and whether it is gone then, or has only finished. */
const LEAVES: Record<string, { readonly leave: (peer: Peer) => void; gone: boolean }> = {
  finishes: { leave: (peer) => peer.end(), gone: false },
  resets: { leave: (peer) => peer.reset(), gone: true },
};

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`a client over ${sockets.name} sockets`, () => {
    test('is looked at until there is enough to decide by, wherever its bytes are split', async () => {
      await using stand = await RelayStand.open(sockets);
      const said = 'a line\nand more';
      for (let at = 0; at <= said.length; at++) {
        const { client, waiting } = await stand.arrive();
        client.socket.write(said.slice(0, at));
        await has(waiting, at);
        const lengths: number[] = [];
        const looked = waiting.peek((bytes) => {
          lengths.push(bytes.length);
          return line(bytes);
        }, Infinity);
        client.socket.write(said.slice(at));
        assert.deepEqual(await looked, { text: 'a line' });
        assert.deepEqual(
          lengths,
          lengths.toSorted((a, b) => a - b),
        );
        await has(waiting, said.length);
        assert.equal(waiting.first.toString(), said, 'the bytes stay where they are');
        assert.deepEqual(await waiting.peek(line, 0), { text: 'a line' }, 'a second look sees the same');
        waiting.skip('a line\n'.length);
        assert.equal(waiting.take().toString(), 'and more');
        assert.equal(waiting.first.length, 0, 'what was taken is somebody else’s');
        waiting.refuse();
      }
    });

    test('is looked at no more after the decision, or after the time is up', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      let looks = 0;
      const look = (bytes: Buffer): object | undefined => {
        looks++;
        return bytes.length > 0 ? {} : undefined;
      };
      assert.equal(await waiting.peek(look, performance.now() - 1), 'timeout');
      assert.equal(looks, 1);
      client.socket.write('x');
      await has(waiting, 1);
      await waiting.peek(look, Infinity);
      client.socket.write('y');
      await has(waiting, 2);
      assert.equal(looks, 2);
    });

    test('is waited for until the deadline and not beyond, and leaves no timer', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      client.socket.write('half a line');
      const [before, startedMs] = [timers(), performance.now()];
      assert.equal(await waiting.peek(line, startedMs + 50), 'timeout');
      assert.ok(performance.now() >= startedMs + 40);
      assert.deepEqual([timers(), waiting.isGone], [before, false]);
      client.socket.write('\n');
      assert.deepEqual(await waiting.peek(line, performance.now() + 3_600_000), { text: 'half a line' });
      assert.equal(timers(), before);
    });

    for (const [how, { leave, gone }] of Object.entries(LEAVES)) {
      test(`that ${how} before it has said enough has left, whoever looks, and whenever`, async () => {
        await using stand = await RelayStand.open(sockets);
        for (const said of ['', 'half a line']) {
          const { client, waiting } = await stand.arrive();
          client.socket.write(said);
          await has(waiting, said.length);
          const looked = waiting.peek(line, Infinity);
          leave(client);
          assert.equal(await looked, 'left');
          assert.equal(await waiting.peek(line, Infinity), 'left');
          assert.deepEqual([waiting.isGone, waiting.gone.aborted, waiting.hasFinished], [gone, gone, !gone]);
          assert.equal(waiting.first.toString(), said);
        }
      });

      test(`that ${how} right behind what was looked for has said it`, async () => {
        await using stand = await RelayStand.open(sockets);
        const { client, waiting } = await stand.arrive();
        client.socket.write('a line\n');
        await has(waiting, 7);
        leave(client);
        await waiting.peek(() => undefined, Infinity);
        assert.deepEqual(await waiting.peek(line, 0), { text: 'a line' });
      });
    }

    test('tells that it is gone to those who asked before, and to those who ask after', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      const { gone } = waiting;
      assert.equal(waiting.gone, gone, 'there is one signal');
      client.reset();
      await new Promise<void>((resolve) => gone.addEventListener('abort', resolve));
      assert.ok(waiting.isGone && waiting.gone.aborted);
      const second = await stand.arrive();
      const left = second.waiting.peek(() => undefined, Infinity);
      second.client.reset();
      await left;
      assert.ok(second.waiting.gone.aborted, 'asked for the first time after');
    });

    test('tells each who still listens once that it is gone', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      const heard: string[] = [];
      const [first, second] = [(): void => void heard.push('first'), (): void => void heard.push('second')];
      waiting.gone.addEventListener('abort', first);
      waiting.gone.addEventListener('abort', second);
      waiting.gone.removeEventListener('abort', first);
      const left = waiting.peek(() => undefined, Infinity);
      client.reset();
      await left;
      waiting.close();
      assert.deepEqual(heard, ['second']);
    });

    test('that has only finished is not gone, and can still be answered', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      client.end();
      await waiting.peek(() => undefined, Infinity);
      assert.ok(waiting.hasFinished && !waiting.isGone && !waiting.gone.aborted);
      waiting.wire.socket.write('sorry');
      await client.gets('sorry'.length);
    });

    test('says no more than its share before it is taken, and goes on when what it said was for Berth', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      void client.send(BYTES, 16 << 20);
      await has(waiting, 64 * KIB);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      const { length } = waiting.first;
      assert.ok(length < 192 * KIB, `${length} bytes`);
      assert.ok(BYTES.matches(0, waiting.first));
      // Still more than its share.
      waiting.skip(length - 64 * KIB);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(waiting.first.length, 64 * KIB);
      waiting.skip(1);
      await has(waiting, 64 * KIB);
      assert.ok(BYTES.matches(length - 64 * KIB + 1, waiting.first));
      waiting.refuse();
    });

    test('is told of the address that it connected to', async () => {
      await using stand = await RelayStand.open(sockets);
      const { client, waiting } = await stand.arrive();
      assert.deepEqual(waiting.local, { address: '127.0.0.1', port: client.socket.remotePort });
    });

    test('of a unix socket has connected to no address', async (t) => {
      const path = join(folderOf(), 'socket');
      const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(path);
      t.after(() => server.close());
      await once(server, 'listening');
      const peer = connect(path).on('error', () => {});
      t.after(() => void peer.destroy());
      const [socket] = (await once(server, 'connection')) as ConstructorParameters<typeof Client>;
      const client = new Client(socket, sockets, new RelayBuffers());
      assert.equal(client.local, undefined);
      client.refuse();
    });

    test('that is closed is gone, and hears an end; one that is refused hears a reset', async () => {
      await using stand = await RelayStand.open(sockets);
      const closed = await stand.arrive();
      closed.waiting.close();
      assert.ok(closed.waiting.isGone);
      closed.waiting.close();
      closed.waiting.refuse();
      await closed.client.getsEnd();
      const refused = await stand.arrive();
      refused.waiting.refuse();
      assert.equal(await refused.client.isClosed(), 'ECONNRESET');
      refused.waiting.refuse();
    });
  });
}
