/** What relays leave behind, whatever is done to them; the whole program is in test/program. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { eventSockets, onreadSockets, type Sockets } from '../../../src/proxy/relay/sockets.ts';
import { Pattern, sideActs } from '../../support/peer.ts';
import { RelayStand } from '../../support/relay-stand.ts';

const BYTES = new Pattern(6);

/** What may happen on a flow, in any order: a side sends, reads, stops reading, finishes, resets, or time passes. */
const act = fc.oneof(...sideActs(9 << 20), fc.constant({ what: 'turn' as const }));

type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

async function actOut(sockets: Sockets, joinAfter: number, acts: readonly Act[]): Promise<void> {
  // It asserts at its end that nothing is left.
  await using stand = await RelayStand.open(sockets, { bulkBytes: 1 << 20, mostBulkBuffers: 2 });
  const flow = await stand.arrive();
  for (const [i, one] of acts.entries()) {
    if (i === joinAfter) await flow.join();
    if (one.what === 'turn') await new Promise((resolve) => setImmediate(resolve));
    else if (one.side === 'client' || flow.isJoined) {
      if (one.what === 'send') void flow[one.side].send(BYTES, one.bytes);
      else flow[one.side][one.what]();
    }
  }
  if (acts.length <= joinAfter) await flow.join();
  flow.client.socket.destroy();
  if (!flow.isJoined) return assert.ok(flow.waiting.isGone);
  flow.server.socket.destroy();
  assert.match(await flow.ended, /^(--|[CS][DL])$/);
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`with ${sockets.name} sockets`, () => {
    test('whatever two sides do to each other, nothing of it is left', async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: 3 }), fc.array(act, { maxLength: 12 }), (joinAfter, acts) =>
          actOut(sockets, joinAfter, acts),
        ),
        { numRuns: 300, endOnFailure: true },
      );
    });

    test('many connections leave no timer', async () => {
      await using stand = await RelayStand.open(sockets);
      const before = timers();
      for (let round = 0; round < 5; round++) {
        const flows = await Promise.all(Array.from({ length: 20 }, () => stand.flow()));
        await Promise.all(
          flows.map(async ({ client, server, ended }, i) => {
            if (i % 2 === 0) client.reset();
            else for (const peer of [client, server]) peer.read().end();
            await ended;
          }),
        );
      }
      assert.equal(timers(), before);
    });
  });
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
}
