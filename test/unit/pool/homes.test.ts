/** A home that outlives its binding would send a client of the same address, days later, to a server it never had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { StickTable } from '../../../src/pool/stick-table.ts';
import { restore } from '../../support/kept.ts';

type Node = { readonly name: string };
const [s1, s2, s3]: [Node, Node, Node] = [{ name: 's1' }, { name: 's2' }, { name: 's3' }];

class Clock {
  ms = 1;
  now = (): number => this.ms;
}

/** A table in which `a` is bound to s2, was at s1 first, and is away. */
function moved(size = 100): { table: StickTable<Node>; clock: Clock } {
  const clock = new Clock();
  const table = new StickTable<Node>({ size, expireMs: 1_000, now: clock.now, homes: true });
  table.open('a');
  table.bind('a', s1);
  table.bind('a', s2);
  table.close('a');
  assert.equal(table.home('a'), s1);
  return { table, clock };
}

const WAYS_OUT: Record<string, (table: StickTable<Node>, clock: Clock) => void> = {
  'expires in a sweep'(table, clock) {
    clock.ms += 1_001;
    table.expire();
  },
  'has expired when its client comes'(table, clock) {
    clock.ms += 1_001;
    table.open('a');
  },
  'has expired when its client comes and goes without a server'(table, clock) {
    clock.ms += 1_001;
    table.open('a');
    table.close('a');
  },
  'makes room for another that was away'(table) {
    for (const client of ['b', 'c', 'd']) {
      table.open(client);
      table.bind(client, s3);
      table.close(client);
    }
  },
  'makes room for one that is open'(table) {
    for (const client of ['b', 'c', 'd']) {
      table.open(client);
      table.bind(client, s3);
    }
  },
  'makes room for one that is restored'(table, clock) {
    clock.ms += 1;
    for (const client of ['b', 'c', 'd']) restore(table, { client, server: s3, home: undefined, remainingMs: 1_000 });
  },
  'does not fit into a table that shrinks'(table) {
    table.open('b');
    table.bind('b', s3);
    table.change({ size: 1, expireMs: 1_000, homes: true });
  },
  'has run out under another expire'(table, clock) {
    clock.ms += 500;
    table.change({ size: 3, expireMs: 400, homes: true });
  },
  'has expired when another is restored in its place'(table, clock) {
    clock.ms += 1_001;
    assert.equal(restore(table, { client: 'a', server: s3, home: undefined, remainingMs: 1_000 }), 1);
  },
  'is taken away'(table) {
    assert.equal(table.unbind('a'), true);
  },
  'is in a table that is to remember no homes'(table) {
    table.change({ size: 3, expireMs: 1_000, homes: false });
  },
};

for (const [way, goes] of Object.entries(WAYS_OUT)) {
  test(`the home goes with a binding that ${way}`, () => {
    const { table, clock } = moved(3);
    goes(table, clock);
    assert.equal(table.home('a'), undefined);
  });
}

test('a binding that is restored over one that has expired is counted once, and for its own server', () => {
  const { table, clock } = moved();
  clock.ms += 1_001;
  restore(table, { client: 'a', server: s3, home: s1, remainingMs: 500 });
  assert.deepEqual([table.entriesOf(s2), table.entriesOf(s3), table.entries], [0, 1, 1]);
  table.open('a');
  assert.equal(table.home('a'), s1);
  assert.equal(table.expirations, 1);
});

test('a client that goes back to its home has none any more; a third server does not change it', () => {
  const { table } = moved();
  table.open('a');
  table.bind('a', s3);
  assert.equal(table.home('a'), s1);
  table.bind('a', s1);
  assert.equal(table.home('a'), undefined);
});

const act = fc.record({
  do: fc.constantFrom('open', 'bind', 'bind', 'bind', 'close', 'expire', 'wait', 'restore', 'change', 'unbind'),
  client: fc.constantFrom('a', 'b', 'c', 'd'),
  server: fc.constantFrom(s1, s2, s3),
  home: fc.constantFrom(undefined, s1),
  ms: fc.constantFrom(1, 60, 101),
  size: fc.integer({ min: 1, max: 4 }),
});

test('whatever happens, a client that is bound to nothing has no home, and nobody’s home is where he is', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80, size: 'max' }), (acts) => {
      const clock = new Clock();
      const table = new StickTable<Node>({ size: 3, expireMs: 100, now: clock.now, homes: true });
      for (const { do: what, client, server, home, ms, size } of acts) {
        if (what === 'open' || what === 'close' || what === 'unbind') table[what](client);
        else if (what === 'bind') table.bind(client, server);
        else if (what === 'expire') table.expire();
        else if (what === 'wait') clock.ms += ms;
        else if (what === 'change') table.change({ size, expireMs: 100, homes: true });
        else restore(table, { client, server, home: home === server ? undefined : home, remainingMs: ms });
        // What has run out and was not looked at stands until the next sweep, which stops at the first that has not.
        const bound = new Map([...table.bindings()].map((binding) => [binding.client, binding]));
        let counted = 0;
        for (const each of ['a', 'b', 'c', 'd']) {
          if (table.home(each) && bound.has(each)) assert.notEqual(table.home(each), bound.get(each)?.server);
        }
        for (const each of [s1, s2, s3]) counted += table.entriesOf(each);
        assert.ok(counted <= table.entries && counted >= bound.size);
      }
      for (const each of ['a', 'b', 'c', 'd']) for (let open = 0; open < acts.length; open++) table.close(each);
      clock.ms += 1_000;
      table.expire();
      assert.deepEqual(
        ['a', 'b', 'c', 'd'].map((each) => table.home(each)),
        [undefined, undefined, undefined, undefined],
      );
      assert.deepEqual([table.entries, table.entriesOf(s1), table.entriesOf(s2), table.entriesOf(s3)], [0, 0, 0, 0]);
    }),
    { numRuns: 1_000 },
  );
});
