import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { eventSockets, onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import { Pattern } from '../../support/peer.ts';
import { RelayStand, type Flow } from '../../support/relay-stand.ts';
import { eventually } from '../../support/waiting.ts';

const BYTES = new Pattern(4);
const ENDLESS = 1 << 30;
const TIMEOUTS = { idle: 10_000, halfClosed: 2_000, keepAlive: 5_000 };

/** A clock that stands still, and moves when it is told to. */
class Clock {
  nowMs = 1_000_000;

  constructor(t: TestContext) {
    t.mock.method(performance, 'now', () => this.nowMs);
  }

  sweep(flow: Flow, afterMs: number): void {
    this.nowMs += afterMs;
    flow.relay.sweep(this.nowMs, TIMEOUTS);
  }
}

/** How many bytes wait in the relay for a peer to read. */
function waiting(flow: Flow, peer: 'client' | 'server'): number {
  const { _handle: handle } = flow.inner[peer] as unknown as { _handle: { writeQueueSize: number } | null };
  return handle?.writeQueueSize ?? 0;
}

/** Whether the kernel has a keepalive timer for this socket (proc_net_tcp.txt: timer 2). */
function isKeptAlive({ localPort = 0, remotePort = 0 }: Socket): boolean {
  const [local, remote] = [localPort, remotePort].map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  const line = new RegExp(`: 0100007F:${local} 0100007F:${remote} \\S+ \\S+ (\\d\\d):`);
  return line.exec(readFileSync('/proc/net/tcp', 'latin1'))?.[1] === '02';
}

/** What the kernel at that peer has taken from the relay. */
function moved(flow: Flow, peer: 'client' | 'server'): number {
  return (peer === 'client' ? flow.relay.bytesOut : flow.relay.bytesIn) - waiting(flow, peer);
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`with ${sockets.name} sockets`, () => {
    test('a connection on which nothing moves is ended when the idle timeout is over, and not before', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      clock.sweep(flow, 9_999);
      assert.equal(flow.relay.end, undefined);
      clock.sweep(flow, 1);
      await flow.endsAs('cD');
      await Promise.all([flow.client.getsEnd(), flow.server.getsEnd()]);
    });

    test('the first look at a connection has the kernel watch both legs, and none is watched before', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      const asked = (): boolean[] => [flow.inner.client, flow.inner.server!].map(isKeptAlive);
      assert.deepEqual(asked(), [false, false]);
      clock.sweep(flow, 1);
      assert.deepEqual(asked(), [true, true]);
    });

    test('a keepalive of 0 is none', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      flow.relay.sweep((clock.nowMs += 9_000), { ...TIMEOUTS, keepAlive: 0 });
      assert.deepEqual([flow.inner.client, flow.inner.server!].map(isKeptAlive), [false, false]);
    });

    test('bytes in either direction begin the idle time anew', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      clock.sweep(flow, 6_000);
      await flow.client.send(BYTES, 1);
      await flow.server.gets(1);
      clock.sweep(flow, 6_000);
      await flow.server.send(BYTES, 1);
      await flow.client.gets(1);
      clock.sweep(flow, 6_000);
      clock.sweep(flow, 9_999);
      assert.equal(flow.relay.end, undefined);
      clock.sweep(flow, 1);
      await flow.endsAs('cD');
    });

    test('the server is who is idle when the client spoke last', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      clock.sweep(flow, 1_000);
      await flow.client.send(BYTES, 1);
      await flow.server.gets(1);
      clock.sweep(flow, 1_000);
      clock.sweep(flow, 10_000);
      await flow.endsAs('sD');
    });

    test('a client whose first bytes came before the server was there has spoken last', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      await flow.client.send(BYTES, 10);
      await flow.waiting.peek(({ length }) => (length === 10 ? {} : undefined), Infinity);
      await flow.join();
      await flow.server.gets(10);
      clock.sweep(flow, 10_000);
      clock.sweep(flow, 10_000);
      await flow.endsAs('sD');
    });

    test('the time that it takes to find a server is not idle time', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      clock.nowMs += 15_000;
      await flow.join();
      clock.sweep(flow, 1);
      assert.equal(flow.relay.end, undefined);
      clock.sweep(flow, 10_000);
      await flow.endsAs('cD');
    });

    test('once one side has finished the shorter timeout holds, and the other side is who is waited for', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      for (const [first, second, end] of [
        ['client', 'server', 'sD'],
        ['server', 'client', 'cL'],
      ] as const) {
        const flow = await stand.flow();
        clock.sweep(flow, 5_000);
        flow[first].end();
        await flow[second].getsEnd();
        clock.sweep(flow, 1_999);
        await flow[second].send(BYTES, 1);
        await flow[first].gets(1);
        // The time begins with the sweep that sees it.
        clock.sweep(flow, 1_999);
        clock.sweep(flow, 1_999);
        assert.equal(flow.relay.end, undefined);
        clock.sweep(flow, 1);
        await flow.endsAs(end);
      }
    });

    for (const [sender, receiver, end] of [
      ['client', 'server', 'sD'],
      ['server', 'client', 'cD'],
    ] as const) {
      test(`a ${receiver} that reads slowly is not idle, one that stops is`, async (t) => {
        const clock = new Clock(t);
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        // The one that does not read has even finished sending: it is still who is waited for.
        flow[receiver].end();
        await flow[sender].getsEnd();
        void flow[sender].send(BYTES, ENDLESS);
        await eventually('nothing waits', () => waiting(flow, receiver) > 0);
        clock.sweep(flow, 1_999);
        for (let round = 0; round < 5; round++) {
          const before = moved(flow, receiver);
          await readOn(flow, receiver, () => moved(flow, receiver) !== before);
          clock.sweep(flow, 1_999);
          assert.equal(flow.relay.end, undefined);
        }
        await standsStill(() => moved(flow, receiver));
        clock.sweep(flow, 1);
        clock.sweep(flow, 2_000);
        await flow.endsAs(receiver === 'client' ? end : 'sL');
      });
    }

    test('a server that takes slowly what the client sent before it was there is not idle', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.arrive();
      flow.waiting.received(Buffer.alloc(64 << 20));
      await flow.join();
      await eventually('nothing waits', () => waiting(flow, 'server') > 0);
      clock.sweep(flow, 9_999);
      for (let round = 0; round < 5; round++) {
        const before = waiting(flow, 'server');
        await readALittle(flow, 'server', () => waiting(flow, 'server') !== before);
        clock.sweep(flow, 9_999);
        assert.equal(flow.relay.end, undefined);
      }
      await standsStill(() => waiting(flow, 'server'));
      assert.ok(waiting(flow, 'server') > 0);
      clock.sweep(flow, 1);
      clock.sweep(flow, 10_000);
      await flow.endsAs('sD');
    });

    test('a server that was slow, and has read all since, is not who is waited for once it has spoken', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      await flow.fill('client', BYTES);
      await flow.server.gets(flow.client.sent);
      await flow.server.send(BYTES, 1);
      await flow.client.gets(1);
      clock.sweep(flow, 1);
      clock.sweep(flow, 10_000);
      await flow.endsAs('cD');
    });

    test('a sweep between the end from outside and its close changes nothing', async (t) => {
      const clock = new Clock(t);
      await using stand = await RelayStand.open(sockets);
      const flow = await stand.flow();
      void flow.client.send(BYTES, ENDLESS);
      await eventually('nothing waits', () => waiting(flow, 'server') > 0);
      flow.relay.close();
      clock.sweep(flow, 10_000);
      clock.sweep(flow, 10_000);
      await flow.endsAs('closed');
    });

    test('ending it from outside closes both sides, while bytes wait as well', async () => {
      await using stand = await RelayStand.open(sockets);
      for (const busy of [false, true]) {
        const flow = await stand.flow();
        if (busy) {
          void flow.client.send(BYTES, ENDLESS);
          void flow.server.send(BYTES, ENDLESS);
          await eventually('nothing waits', () => waiting(flow, 'client') > 0 && waiting(flow, 'server') > 0);
        }
        flow.relay.close();
        flow.relay.close();
        await flow.endsAs('closed');
        await Promise.all([gone(flow, 'client'), gone(flow, 'server')]);
      }
    });
  });
}

async function gone(flow: Flow, peer: 'client' | 'server'): Promise<void> {
  flow[peer].read();
  await eventually(
    () => `the ${peer} is left`,
    () => flow[peer].ended || flow[peer].closed,
  );
}

/** Lets a peer read until something is seen. */
async function readOn(flow: Flow, peer: 'client' | 'server', look: () => boolean): Promise<void> {
  flow[peer].read();
  await eventually('nothing moves', look);
  flow[peer].pause();
}

/** Lets a peer read as little as is needed until something is seen. */
async function readALittle(flow: Flow, peer: 'client' | 'server', look: () => boolean): Promise<void> {
  flow[peer].pausesOften = true;
  flow[peer].read();
  await flow[peer].until(look, 'something to move');
  flow[peer].pausesOften = false;
  flow[peer].pause();
}

/** Waits until what the kernel may still take has been taken. */
async function standsStill(look: () => number): Promise<void> {
  let [last, since] = [look(), Date.now()];
  await eventually('it goes on moving', () => {
    const now = look();
    if (now !== last) [last, since] = [now, Date.now()];
    return Date.now() - since > 300;
  });
}
