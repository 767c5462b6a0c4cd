import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventSockets, onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import { Pattern, type Peer } from '../../support/peer.ts';
import { RelayStand, type Flow } from '../../support/relay-stand.ts';
import { eventually } from '../../support/waiting.ts';

const MIB = 1 << 20;
const BYTES = new Pattern(3);
/** More than all the kernel's buffers on the way hold. */
const ENDLESS = 1 << 30;

/** Who resets, who is to hear of it, and the letter that tells of it. */
const RESETTERS = [
  { who: 'client', other: 'server', letter: 'C' },
  { who: 'server', other: 'client', letter: 'S' },
] as const;

/** Sends until nobody takes any more. Resolves when the relay has stopped reading the sender. */
async function jam(flow: Flow, sender: 'client' | 'server', bytes = ENDLESS): Promise<void> {
  void flow[sender].send(BYTES, bytes).then(() => flow[sender].end());
  const receiver = flow.inner[sender === 'client' ? 'server' : 'client'];
  await eventually(
    () => `the relay goes on taking from the ${sender}`,
    () => (receiver?.writableLength ?? 0) > 0,
  );
}

/** Reads as little as is needed until something is seen. */
async function readUntil(peer: Peer, look: () => boolean): Promise<void> {
  peer.pausesOften = true;
  peer.read();
  await peer.until(look, 'enough to be read');
  peer.pausesOften = false;
  peer.pause();
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`with ${sockets.name} sockets`, () => {
    for (const { who, other, letter } of RESETTERS) {
      test(`a reset by the ${who} right after the join resets the ${other}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[who].reset();
        assert.equal(await flow[other].isClosed(), 'ECONNRESET');
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by the ${who} amid data both ways resets the ${other}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        void flow.client.send(BYTES, ENDLESS);
        void flow.server.send(BYTES, ENDLESS);
        await Promise.all([flow.client.gets(MIB), flow.server.gets(MIB)]);
        flow[who].reset();
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by a ${who} that does not read what the ${other} sends resets the ${other}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        await jam(flow, other);
        flow[who].reset();
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by a ${who} is seen by a ${other} that had not read, when it reads on`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        await jam(flow, who);
        // The relay does not read the sender now: it cannot see the reset until it does, or writes.
        flow[who].reset();
        assert.equal(await flow[other].isClosed(), 'ECONNRESET');
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by a ${who} is seen by a ${other} that has written and had not read, when it reads on`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        await jam(flow, who);
        flow[who].reset();
        await flow[other].send(BYTES, 1);
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by a ${who} with both directions jammed is seen when the ${other} reads on`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        await Promise.all([jam(flow, who), jam(flow, other)]);
        flow[who].reset();
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by a ${who} right behind its bytes, while bytes wait for it, is no end to the ${other}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        await flow.fill(other, BYTES);
        flow[who].socket.write('unread');
        flow[who].reset();
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        assert.ok(!flow[other].ended);
        await flow.endsAs(`${letter}D`);
      });

      test(`a reset by the ${who} after the ${other} has finished resets the ${other}`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[other].end();
        await flow[who].getsEnd();
        flow[who].reset();
        assert.equal(await flow[other].isClosed(), 'ECONNRESET');
        // With the server's end its last bytes are on their way: HAProxy's L.
        await flow.endsAs(other === 'server' ? 'CL' : 'SD');
      });

      test(`a reset by the ${who} after it has finished is seen when the ${other} writes`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[who].end();
        await flow[other].getsEnd();
        flow[who].reset();
        void flow[other].send(BYTES, ENDLESS);
        assert.match(String(await flow[other].isClosed()), /^(ECONNRESET|EPIPE)$/);
        await flow.endsAs(who === 'server' ? 'SL' : 'CD');
      });

      test(`a slow ${other} gets all that the ${who} sent, when the ${who} finishes and then resets`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        const inner = flow.inner[other];
        flow[other].expects = BYTES;
        await jam(flow, who, 32 * MIB);
        // Reads on just until the relay has seen the end behind the bytes.
        flow[other].read();
        await eventually('the relay does not see the end', () => inner?.writableEnded === true);
        flow[other].pause();
        flow[who].reset();
        await flow[other].send(BYTES, 1);
        await flow[other].getsEnd();
        assert.deepEqual([flow[other].received, flow[other].corruptAt], [32 * MIB, undefined]);
        flow[other].end();
        assert.match(await flow.ended, who === 'client' ? /^(CD|--)$/ : /^(SL|--)$/);
      });

      test(`what the kernel still has for a slow ${other}, when the ${who} finishes and then resets, is not lost`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        flow[other].expects = BYTES;
        // From here on the kernel holds all that it takes for a receiver that has read nothing.
        await flow.fill(who, BYTES);
        flow[who].end();
        await readUntil(flow[other], () => flow.inner[other]?.writableFinished === true);
        assert.ok(flow[other].received < flow[who].sent);
        flow[who].reset();
        // The relay finds the reset out when it writes.
        const lost = new Promise((resolve) => flow.inner[who]?.once('close', resolve));
        await flow[other].send(BYTES, 1);
        await lost;
        await flow[other].getsEnd();
        assert.deepEqual([flow[other].received, flow[other].corruptAt], [flow[who].sent, undefined]);
        flow[other].end();
        await flow.endsAs(who === 'client' ? 'CD' : 'SL');
      });
    }

    // Without `onread` a client's socket is Node's own, which gives up what it has not read when a write fails.
    const patient = RESETTERS.filter(({ who }) => who === 'server' || sockets === onreadSockets);
    for (const { who, other } of patient) {
      test(`what the ${who} answered before it broke off reaches the ${other}, though more is written to it first`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        const [asking, answering] = [flow[other], flow[who]];
        // More than a process takes that does not read: the rest waits in its kernel.
        await asking.send(BYTES, 200_000);
        await eventually('the relay has passed it on', () => {
          const passed = other === 'client' ? flow.relay.bytesIn : flow.relay.bytesOut;
          return passed === 200_000 && flow.inner[who]?.writableLength === 0;
        });
        // In one tick, so that the relay finds all of it at once, and writes before it reads.
        asking.socket.write('more');
        answering.socket.write('an answer');
        // With bytes that it has not read, its kernel resets the connection.
        answering.socket.destroy();
        await asking.gets('an answer'.length);
        await flow.ended;
      });
    }

    // Without `onread` a paused socket reads ahead, comes upon the reset, and gives up what it has read.
    for (const { who, other } of sockets === onreadSockets ? RESETTERS : []) {
      test(`what a ${who} answered before it broke off reaches a slow ${other}, though more is written to it first`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        const [asking, answering] = [flow[other], flow[who]];
        asking.expects = BYTES;
        await asking.send(BYTES, 200_000);
        await flow.fill(who, BYTES);
        // The relay reads the answering side no more.
        await answering.send(BYTES, 1_000);
        answering.socket.destroy();
        // The first write may be what tells the relay's kernel of the reset.
        await eventually('a write has failed, and waits', () => {
          const waits = (flow.inner[who]?.writableLength ?? 0) > 0;
          if (!waits) asking.socket.write('more');
          return waits;
        });
        await asking.gets(answering.sent);
        assert.equal(asking.corruptAt, undefined);
        await flow.ended;
      });
    }

    test('a slow server gets all that the client sent before it was there, when the client resets behind its end', async () => {
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      const bytes = 32 * MIB;
      for (let made = 0; made < bytes;) {
        const chunk = BYTES.at(made, bytes - made);
        flow.waiting.received(Buffer.from(chunk));
        made += chunk.length;
      }
      flow.client.end();
      await flow.waiting.peek(() => undefined, Infinity);
      await flow.join();
      const { client, server } = flow.inner;
      await eventually('nothing waits', () => (server?.writableLength ?? 0) > 0);
      flow.client.reset();
      // The relay finds the reset out when it writes.
      const lost = new Promise((resolve) => client.once('close', resolve));
      await flow.server.send(BYTES, 1);
      await lost;
      flow.server.expects = BYTES;
      await flow.server.getsEnd();
      assert.deepEqual([flow.server.received, flow.server.corruptAt], [bytes, undefined]);
      flow.server.end();
      await flow.endsAs('CD');
    });

    test('a socket that fails in the tick of its end leaves nothing behind', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const code of ['ECONNRESET', 'ETIMEDOUT']) {
        const flow = await stand.flow();
        const { client } = flow.inner;
        client.once('end', () => client.destroy(Object.assign(new Error(code), { code })));
        flow.client.end();
        await flow.endsAs('CD');
        flow.server.read();
        await eventually('the server is not told', () => flow.server.ended || flow.server.error === 'ECONNRESET');
      }
    });

    test('a client that resets before its server is there is gone at once', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const bytes of [0, 10_000]) {
        const { client, waiting } = await stand.arrive();
        await client.send(BYTES, bytes);
        assert.ok(!waiting.isGone && !waiting.gone.aborted);
        const lost = new Promise<void>((resolve) => waiting.gone.addEventListener('abort', resolve));
        client.reset();
        await lost;
        assert.ok(waiting.isGone);
      }
    });

    test('everybody who waits with a client that has no server yet hears that it is gone, however late they ask', async () => {
      await using stand = await RelayStand.open(sockets);
      const { waiting } = await stand.arrive();
      let heard = 0;
      for (let i = 0; i < 3; i++) waiting.gone.addEventListener('abort', () => heard++);
      const looking = waiting.peek(() => undefined, Infinity);
      waiting.close();
      assert.equal(await looking, 'left');
      assert.deepEqual([heard, waiting.gone.aborted], [3, true]);
      const late = (await stand.arrive()).waiting;
      late.close();
      assert.ok(late.gone.aborted);
    });

    test('a client that is turned away sees a reset', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const bytes of [0, 100_000]) {
        const flow = await stand.arrive();
        await flow.client.send(BYTES, bytes);
        flow.waiting.refuse();
        assert.equal(await flow.client.isClosed(), 'ECONNRESET');
      }
    });
  });
}
