import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { RelayBuffers } from '../../../src/proxy/relay/buffers.ts';
import { eventSockets, onreadSockets, type Sockets } from '../../../src/proxy/relay/sockets.ts';
import { Pattern, type Peer } from '../../support/peer.ts';
import { RelayStand, type Flow } from '../../support/relay-stand.ts';
import { eventually } from '../../support/waiting.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const BYTES = new Pattern(5);
const OTHER_BYTES = new Pattern(6);

/** The most that the kernel keeps between two processes: what one has sent, and what the other has not read. */
const KERNEL_BYTES = ['tcp_wmem', 'tcp_rmem']
  .map((name) => Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/)[2]))
  .reduce((sum, bytes) => sum + bytes, 0);

const WAYS = [
  { sender: 'client', receiver: 'server' },
  { sender: 'server', receiver: 'client' },
] as const;

/**
 * What one side of a flow sends: sizes of messages, and how large the pieces are in which the other side's kernel gets
 * them.
 */
type Load = { readonly messages: readonly number[]; readonly pieces: number; readonly pauses: boolean };

const load = fc.record({
  messages: fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 300 }) },
      { weight: 2, arbitrary: fc.constantFrom(64 * KIB - 1, 64 * KIB, 64 * KIB + 1) },
      { weight: 1, arbitrary: fc.integer({ min: 200 * KIB, max: 3 * MIB }) },
    ),
    { maxLength: 8 },
  ),
  pieces: fc.constantFrom(1_000, 64 * KIB, 400 * KIB),
  pauses: fc.boolean(),
});

async function sendAll(sender: Peer, pattern: Pattern, { messages, pieces }: Load): Promise<void> {
  for (const bytes of messages) {
    await sender.send(pattern, bytes, () => pieces);
    // Others may go first.
    await new Promise((resolve) => setImmediate(resolve));
  }
  sender.end();
}

async function receiveAll(receiver: Peer, pattern: Pattern, { messages, pauses }: Load): Promise<void> {
  receiver.expects = pattern;
  receiver.pausesOften = pauses;
  await receiver.getsEnd();
  const bytes = messages.reduce((sum, each) => sum + each, 0);
  assert.deepEqual([receiver.received, receiver.corruptAt], [bytes, undefined]);
}

async function relayAtOnce(sockets: Sockets, mostBulkBuffers: number, flows: readonly [Load, Load][]): Promise<void> {
  await using stand = await RelayStand.open(sockets, { bulkBytes: MIB, mostBulkBuffers });
  await Promise.all(
    flows.map(async ([up, down], i) => {
      const flow = await stand.flow();
      const [upward, downward] = [new Pattern(100 + 2 * i), new Pattern(101 + 2 * i)];
      await Promise.all([
        sendAll(flow.client, upward, up),
        sendAll(flow.server, downward, down),
        receiveAll(flow.server, upward, up),
        receiveAll(flow.client, downward, down),
      ]);
      await flow.endsAs('--');
    }),
  );
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`with ${sockets.name} sockets`, () => {
    for (const { sender, receiver } of WAYS) {
      test(`a ${receiver} that does not read stops the ${sender}, and gets everything when it reads on`, async () => {
        await using stand = await RelayStand.open(sockets);
        const flow = await stand.flow();
        const most = 2 * KERNEL_BYTES + 2 * MIB;
        const bytes = most + 16 * MIB;
        const sent = flow[sender].send(BYTES, bytes).then(() => flow[sender].end());
        await stops(flow[sender]);
        assert.ok(flow[sender].sent <= most, `${flow[sender].sent} bytes were taken`);
        // All that is not the kernel's is one read.
        assert.ok(heldFor(flow, receiver) <= MIB, `${heldFor(flow, receiver)} bytes wait in the relay`);
        flow[receiver].expects = BYTES;
        await Promise.all([sent, flow[receiver].getsEnd()]);
        assert.deepEqual([flow[receiver].received, flow[receiver].corruptAt], [bytes, undefined]);
      });
    }

    for (const mostBulkBuffers of [0, 1, 128]) {
      test(`bytes that wait for a slow reader stay as they are, with ${mostBulkBuffers} large buffers`, async () => {
        await using stand = await RelayStand.open(sockets, { bulkBytes: MIB, mostBulkBuffers });
        const [slow, other] = [await stand.flow(), await stand.flow()];
        slow.server.expects = BYTES;
        // In bulk transfer first, which is what large buffers are for; then in pieces that are small enough to be
        // overlooked.
        await Promise.all([slow.client.send(BYTES, 8 * MIB), slow.server.gets(8 * MIB)]);
        slow.server.pause();
        await slow.fill('client', BYTES);
        const bytes = slow.client.sent + MIB;
        const sent = slow.client.send(BYTES, MIB, () => 8 * KIB).then(() => slow.client.end());
        other.server.expects = OTHER_BYTES;
        await Promise.all([other.client.send(OTHER_BYTES, 8 * MIB), other.server.gets(8 * MIB)]);
        await Promise.all([sent, slow.server.getsEnd()]);
        assert.deepEqual([slow.server.received, slow.server.corruptAt], [bytes, undefined]);
        assert.deepEqual([other.server.received, other.server.corruptAt], [8 * MIB, undefined]);
      });
    }

    for (const size of [2_000, 2 * KIB]) {
      test(`a message of ${size} bytes that waits for a slow reader stays as it is`, async () => {
        await using stand = await RelayStand.open(sockets);
        const [slow, other] = [await stand.flow(), await stand.flow()];
        await slow.fill('client', BYTES, size);
        const bytes = slow.client.sent;
        slow.client.end();
        other.server.expects = OTHER_BYTES;
        for (let sent = 0; sent < 10 * size; sent += size) {
          await other.client.send(OTHER_BYTES, size);
          await other.server.gets(sent + size);
        }
        slow.server.expects = BYTES;
        await slow.server.getsEnd();
        assert.deepEqual([slow.server.received, slow.server.corruptAt], [bytes, undefined]);
        assert.equal(other.server.corruptAt, undefined);
      });
    }

    test('many flows at once, of bulk and of small messages, keep their bytes apart', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(0, 1, 2, 128),
          fc.array(fc.tuple(load, load), { minLength: 1, maxLength: 10 }),
          (mostBulkBuffers, flows) => relayAtOnce(sockets, mostBulkBuffers, flows),
        ),
        { numRuns: 12, endOnFailure: true },
      );
    });

    test('fifty flows share two large buffers', async () => {
      const bulk: Load = { messages: [500 * KIB, 10, 500 * KIB], pieces: 400 * KIB, pauses: true };
      const talk: Load = { messages: [1, 200, 1, 3_000], pieces: 64 * KIB, pauses: false };
      await relayAtOnce(
        sockets,
        2,
        Array.from({ length: 50 }, (_, i): [Load, Load] => (i % 3 === 0 ? [talk, bulk] : [bulk, talk])),
      );
    });
  });
}

const TIMEOUTS = { idle: 600_000, halfClosed: 60_000, keepAlive: 0 };

describe('a large buffer', () => {
  test('goes to another flow after a quiet second, though the flow that had it reads nothing more', async () => {
    await using stand = await RelayStand.open(onreadSockets, { bulkBytes: MIB, mostBulkBuffers: 1 });
    const [first, second] = [await stand.flow(), await stand.flow()];
    for (const { client, server } of [first, second]) {
      server.expects = BYTES;
      await Promise.all([client.send(BYTES, 8 * MIB), server.gets(8 * MIB)]);
    }
    assert.equal(stand.buffers.lent, 1);
    for (const [nowMs, lent] of [
      [1_000, 1],
      [1_900, 1],
      [2_000, 0],
    ] as const) {
      first.relay.sweep(nowMs, TIMEOUTS);
      assert.equal(stand.buffers.lent, lent, `at ${nowMs} ms`);
    }
    await Promise.all([second.client.send(BYTES, 8 * MIB), second.server.gets(16 * MIB)]);
    assert.equal(stand.buffers.lent, 1, 'the other one has it');
    // The first reads where others do too, while the second reads into what was the first one's.
    await Promise.all([
      first.client.send(BYTES, 8 * MIB),
      first.server.gets(16 * MIB),
      second.client.send(BYTES, 8 * MIB),
      second.server.gets(24 * MIB),
    ]);
    assert.deepEqual([first.server.corruptAt, second.server.corruptAt], [undefined, undefined]);
  });

  test('is not for a conversation of small messages', async () => {
    await using stand = await RelayStand.open(onreadSockets);
    const flow = await stand.flow();
    for (let sent = 1; sent <= 20; sent++) {
      await flow.client.send(BYTES, 1_000);
      await flow.server.gets(1_000 * sent);
    }
    assert.equal(stand.buffers.lent, 0);
  });

  test('goes when only a conversation is left, and stays while there is a bulk transfer', async () => {
    await using stand = await RelayStand.open(onreadSockets, { bulkBytes: MIB, mostBulkBuffers: 1 });
    const flow = await stand.flow();
    flow.server.expects = BYTES;
    let nowMs = 0;
    const second = async (bytes: number): Promise<void> => {
      await Promise.all([flow.client.send(BYTES, bytes), flow.server.gets(flow.server.received + bytes)]);
      flow.relay.sweep((nowMs += 1_000), TIMEOUTS);
    };
    for (let i = 0; i < 3; i++) {
      await second(8 * MIB);
      assert.equal(stand.buffers.lent, 1, 'in bulk transfer');
    }
    await second(1_000);
    assert.equal(stand.buffers.lent, 0, 'in a conversation');
    await second(8 * MIB);
    assert.equal(stand.buffers.lent, 1, 'in bulk transfer again');
    assert.equal(flow.server.corruptAt, undefined);
  });

  test('stays while bytes in it wait for a slow reader', async () => {
    await using stand = await RelayStand.open(onreadSockets, { bulkBytes: MIB, mostBulkBuffers: 1 });
    const flow = await stand.flow();
    flow.server.expects = BYTES;
    await Promise.all([flow.client.send(BYTES, 8 * MIB), flow.server.gets(8 * MIB)]);
    flow.server.pause();
    await flow.fill('client', BYTES, 256 * KIB);
    for (const nowMs of [1_000, 2_000, 3_000]) flow.relay.sweep(nowMs, TIMEOUTS);
    assert.equal(stand.buffers.lent, 1);
    flow.client.end();
    await flow.server.getsEnd();
    assert.deepEqual([flow.server.received, flow.server.corruptAt], [flow.client.sent, undefined]);
  });

  test('is not missing to others where a peer that does not read keeps it, up to a bound', async () => {
    await using stand = await RelayStand.open(onreadSockets, { bulkBytes: MIB, mostBulkBuffers: 1 });
    const stuck: { flow: Flow; sent: Promise<void> }[] = [];
    for (let i = 0; i < 3; i++) {
      const flow = await stand.flow();
      flow.server.expects = BYTES;
      await Promise.all([flow.client.send(BYTES, 8 * MIB), flow.server.gets(8 * MIB)]);
      assert.equal(stand.buffers.lent, i + 1, 'all others have theirs for good');
      flow.server.pause();
      stuck.push({ flow, sent: flow.client.send(BYTES, 2 * KERNEL_BYTES + 16 * MIB) });
      await stops(flow.client);
      for (const nowMs of [1_000, 2_000]) flow.relay.sweep(nowMs, TIMEOUTS);
      assert.equal(stand.buffers.stuckOnes, i + 1);
    }
    const flows = [await stand.flow(), await stand.flow()];
    for (const bytes of [8 * MIB, 16 * MIB]) {
      await Promise.all(
        flows.map(async ({ client, server }) => {
          server.expects = BYTES;
          await Promise.all([client.send(BYTES, 8 * MIB), server.gets(bytes)]);
          assert.equal(server.corruptAt, undefined);
        }),
      );
      assert.equal(stand.buffers.lent, 4, 'three are stuck beside one in use, and no more');
    }
    for (const { flow, sent } of stuck) {
      await Promise.all([sent.then(() => flow.client.end()), flow.server.getsEnd()]);
      assert.deepEqual([flow.server.received, flow.server.corruptAt], [flow.client.sent, undefined]);
    }
    assert.equal(stand.buffers.stuckOnes, 0);
  });

  test('goes back to the system when nobody has needed it for five seconds', () => {
    const buffers = new RelayBuffers({ bulkBytes: MIB, mostBulkBuffers: 3 });
    buffers.trim(0);
    const lent = [buffers.lend()!, buffers.lend()!, buffers.lend()!];
    for (const buffer of lent) buffers.giveBack(buffer);
    for (const [nowMs, bytes] of [
      [5_000, 3 * MIB],
      [9_999, 3 * MIB],
    ] as const) {
      buffers.trim(nowMs);
      assert.equal(buffers.bulkBytes, bytes, `at ${nowMs} ms`);
    }
    const busy = buffers.lend()!;
    buffers.giveBack(busy);
    buffers.trim(10_000);
    assert.equal(buffers.bulkBytes, MIB, 'the buffer that is needed now and then stays');
    assert.deepEqual(
      lent.filter(({ length }) => length > 0),
      [busy],
    );
    assert.equal(buffers.lend(), busy);
  });
});

/** Resolves when a sender has not got rid of anything for a while. */
async function stops(sender: Peer): Promise<void> {
  let [sent, since] = [0, Date.now()];
  await eventually('the sender goes on', () => {
    if (sender.sent !== sent) [sent, since] = [sender.sent, Date.now()];
    return sent > 0 && Date.now() - since > 300;
  });
}

/** Bytes that the relay has read and no kernel has taken. */
function heldFor(flow: Flow, receiver: 'client' | 'server'): number {
  return (
    (flow.inner[receiver]?.writableLength ?? 0) +
    (flow.inner[receiver === 'client' ? 'server' : 'client']?.readableLength ?? 0)
  );
}
