import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Slots, type Wait } from '../../../src/pool/slots.ts';

/**
 * What is done to the slots; `nth` chooses one of those who wait or have waited. Most acts are arrivals, so that there is
 * a queue most of the time.
 */
const step = fc.oneof(
  { arbitrary: fc.constant({ do: 'come' } as const), weight: 4 },
  fc.constant({ do: 'release' } as const),
  fc.constant({ do: 'move' } as const),
  fc.record({ do: fc.constant('leave' as const), nth: fc.nat(20) }),
  fc.record({ do: fc.constant('limit' as const), most: fc.nat(4) }),
);

test('whoever comes, goes, gives up or is moved, under whatever limits: as many places as allowed, first come first served', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(4), fc.array(step, { maxLength: 60, size: 'max' }), async (firstMost, steps) => {
      const slots = new Slots();
      let most = firstMost;
      const model = { taken: 0, waiting: [] as number[] };
      const waits: { leave(): void }[] = [];
      const outcomes: (Wait | undefined)[] = [];
      const wanted: (Wait | undefined)[] = [];
      const grant = (): void => {
        for (const fits = (): boolean => most === 0 || model.taken < most; model.waiting.length > 0 && fits();) {
          model.taken++;
          wanted[model.waiting.shift() ?? -1] = 'granted';
        }
      };
      for (const one of steps) {
        switch (one.do) {
          case 'come': {
            const free = most === 0 || (model.taken < most && model.waiting.length === 0);
            assert.equal(slots.free(most), free);
            if (free) {
              slots.take();
              model.taken++;
              break;
            }
            const id = waits.length;
            const wait = slots.queue();
            void wait.outcome.then((outcome) => (outcomes[id] = outcome));
            waits.push(wait);
            wanted.push(undefined);
            model.waiting.push(id);
            break;
          }
          case 'release':
            if (model.taken === 0) break;
            slots.release(most);
            model.taken--;
            grant();
            break;
          case 'move':
            slots.move();
            for (const id of model.waiting.splice(0)) wanted[id] = 'moved';
            break;
          case 'leave': {
            const id = one.nth;
            // Who has been let in, moved or has left already stays so.
            waits[id]?.leave();
            if (model.waiting.includes(id)) wanted[id] = 'left';
            model.waiting = model.waiting.filter((other) => other !== id);
            break;
          }
          case 'limit':
            most = one.most;
            slots.grant(most);
            grant();
        }
        assert.equal(slots.taken, model.taken);
        assert.equal(slots.waiting, model.waiting.length);
      }
      await Promise.resolve();
      assert.deepEqual(
        waits.map((_, id) => outcomes[id]),
        wanted,
      );
    }),
  );
});
