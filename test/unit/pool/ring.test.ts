import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Moves } from '../../../src/pool/moves.ts';
import { Ring } from '../../../src/pool/ring.ts';

test('a ring has the last of what was added, the latest first', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat()), (size, items) => {
      const ring = new Ring<number>(size);
      for (const item of items) ring.add(item);
      assert.deepEqual([...ring.latest()], items.slice(-size).toReversed());
    }),
  );
});

test('the moves of a client are remembered while there are not a thousand later ones', () => {
  const moves = new Moves();
  const move = (client: string, to: string): void => moves.add({ atMs: 1, client, from: 's1', to, reason: 'r' });
  move('a', 's2');
  move('b', 's2');
  move('a', 's3');
  assert.deepEqual(
    moves.of('a').map(({ to }) => to),
    ['s3', 's2'],
  );
  assert.deepEqual(moves.of('c'), []);
  for (let i = 0; i < 998; i++) move('other', 's2');
  assert.deepEqual(
    moves.of('a').map(({ to }) => to),
    ['s3'],
  );
  move('other', 's2');
  move('other', 's2');
  assert.deepEqual(moves.of('a'), []);
});
