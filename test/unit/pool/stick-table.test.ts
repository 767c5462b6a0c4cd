import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Kept } from '../../../src/pool/kept.ts';
import { StickTable } from '../../../src/pool/stick-table.ts';
import { restore } from '../../support/kept.ts';

type Node = { readonly name: string };
const [s1, s2]: [Node, Node] = [{ name: 's1' }, { name: 's2' }];

class Clock {
  ms = 1;
  now = (): number => this.ms;
}

function make(size = 100, expireMs = 1_000): { table: StickTable<Node>; clock: Clock } {
  const clock = new Clock();
  return { table: new StickTable<Node>({ size, expireMs, now: clock.now }), clock };
}

/** One connection of `client`: bound to `server` where it was bound to none. Tells what it was bound to. */
function visit(table: StickTable<Node>, client: string, server: Node): Node | undefined {
  table.open(client);
  const found = table.match(client);
  if (!found) table.bind(client, server);
  table.close(client);
  return found;
}

test('a client comes back to its server', () => {
  const { table } = make();
  assert.equal(visit(table, 'a', s1), undefined);
  assert.equal(visit(table, 'a', s2), s1);
  assert.equal(visit(table, 'b', s2), undefined);
  assert.deepEqual([table.entries, table.entriesOf(s1), table.entriesOf(s2)], [2, 1, 1]);
  assert.deepEqual([table.hits, table.misses, table.moves], [1, 2, 0]);
});

test('a binding lives as long as it says, and no longer', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  clock.ms += 1_000;
  assert.equal(visit(table, 'a', s2), s1);
  clock.ms += 1_001;
  assert.equal(visit(table, 'a', s2), undefined);
  assert.deepEqual([table.expirations, table.entriesOf(s1), table.entriesOf(s2)], [1, 0, 1]);
});

test('a match refreshes a binding', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  for (let i = 0; i < 10; i++) {
    clock.ms += 900;
    assert.equal(visit(table, 'a', s2), s1);
  }
});

test('the time of a binding runs from its last close, not from its open', () => {
  const { table, clock } = make(100, 1_000);
  table.open('a');
  table.bind('a', s1);
  clock.ms += 100_000;
  table.expire();
  assert.equal(table.entries, 1);
  table.close('a');
  clock.ms += 1_000;
  assert.equal(visit(table, 'a', s2), s1);
});

test('of several connections of one client, the last to close lets go', () => {
  const { table, clock } = make(1, 1_000);
  for (let i = 0; i < 3; i++) table.open('a');
  table.bind('a', s1);
  table.close('a');
  table.close('a');
  clock.ms += 100_000;
  table.expire();
  visit(table, 'b', s2);
  assert.equal(table.match('a'), s1);
  table.close('a');
  assert.equal(table.match('a'), undefined);
});

test('a full table lets the least recently used client go first', () => {
  const { table, clock } = make(3);
  for (const client of ['a', 'b', 'c']) {
    visit(table, client, s1);
    clock.ms++;
  }
  visit(table, 'a', s1);
  visit(table, 'd', s2);
  assert.equal(table.evictions, 1);
  assert.equal(table.entries, 3);
  assert.deepEqual(
    ['a', 'c', 'd'].map((client) => table.peek(client)?.server.name),
    ['s1', 's1', 's2'],
  );
  assert.equal(table.peek('b'), undefined);
});

test('a client with an open connection is never evicted, however full the table is', () => {
  const { table } = make(2);
  for (const client of ['a', 'b', 'c', 'd']) {
    table.open(client);
    table.bind(client, s1);
  }
  assert.deepEqual([table.entries, table.evictions], [4, 0]);
  visit(table, 'e', s2);
  assert.equal(table.peek('e'), undefined);
  for (const client of ['a', 'b', 'c', 'd']) assert.equal(table.match(client), s1);
  for (const client of ['a', 'b', 'c', 'd']) table.close(client);
  assert.deepEqual([table.entries, table.entriesOf(s1), table.evictions], [2, 2, 3]);
});

test('a table of one entry keeps the last client', () => {
  const { table } = make(1);
  visit(table, 'a', s1);
  visit(table, 'b', s2);
  assert.equal(visit(table, 'b', s1), s2);
  assert.equal(visit(table, 'a', s1), undefined);
  assert.deepEqual([table.entries, table.evictions], [1, 2]);
});

test('a client that no server was found for leaves nothing behind', () => {
  const { table } = make(1);
  visit(table, 'a', s1);
  table.open('b');
  table.close('b');
  assert.equal(visit(table, 'a', s2), s1);
  assert.deepEqual([table.entries, table.evictions, table.misses], [1, 0, 2]);
});

test('binding to the same server again is no move; to another one it is', () => {
  const { table } = make();
  table.open('a');
  table.bind('a', s1);
  table.bind('a', s1);
  assert.equal(table.moves, 0);
  table.bind('a', s2);
  assert.deepEqual([table.moves, table.entriesOf(s1), table.entriesOf(s2)], [1, 0, 1]);
});

test('what is not open is neither bound nor closed', () => {
  const { table } = make();
  table.bind('a', s1);
  table.close('a');
  assert.deepEqual([table.entries, table.entriesOf(s1), table.match('a')], [0, 0, undefined]);
});

test('expire drops all that has expired, and only that', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  visit(table, 'b', s1);
  clock.ms += 500;
  visit(table, 'c', s2);
  clock.ms += 501;
  table.expire();
  assert.deepEqual([table.entries, table.expirations, table.entriesOf(s1), table.entriesOf(s2)], [1, 2, 0, 1]);
});

test('peek touches nothing', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  clock.ms += 600;
  assert.deepEqual(table.peek('a'), { server: s1, connections: 0, expiresMs: 400 });
  clock.ms += 401;
  assert.equal(table.peek('a'), undefined);
  assert.deepEqual([table.hits, table.misses], [0, 1]);
});

/** The same table, written as simply as can be: one list, most recently used last. */
class Model {
  entries: { client: string; server: Node | undefined; open: number; since: number }[] = [];
  counts = { hits: 0, misses: 0, evictions: 0, expirations: 0, moves: 0 };
  readonly size: number;
  readonly expireMs: number;

  constructor(size: number, expireMs: number) {
    this.size = size;
    this.expireMs = expireMs;
  }

  find(client: string): Model['entries'][number] | undefined {
    return this.entries.find((entry) => entry.client === client);
  }

  drop(gone: (entry: Model['entries'][number]) => boolean): number {
    const before = this.entries.length;
    this.entries = this.entries.filter((entry) => entry.open > 0 || !gone(entry));
    return before - this.entries.length;
  }

  open(client: string, now: number): void {
    this.counts.expirations += this.drop((entry) => entry.client === client && now - entry.since > this.expireMs);
    const found = this.find(client) ?? { client, server: undefined, open: 0, since: now };
    this.counts[found.server ? 'hits' : 'misses']++;
    found.open++;
    this.entries = [...this.entries.filter((entry) => entry !== found), found];
  }

  bind(client: string, server: Node): void {
    const found = this.find(client);
    if (!found || found.open === 0 || found.server === server) return;
    if (found.server) this.counts.moves++;
    found.server = server;
    this.makeRoom();
  }

  unbind(client: string, now: number): boolean {
    const found = this.find(client);
    if (!found?.server || (found.open === 0 && now - found.since > this.expireMs)) return false;
    found.server = undefined;
    this.drop((entry) => entry === found);
    return true;
  }

  close(client: string, now: number): void {
    const found = this.find(client);
    if (!found || found.open === 0 || --found.open > 0) return;
    this.entries = this.entries.filter((entry) => entry !== found);
    if (!found.server) return;
    this.entries.push({ ...found, since: now });
    this.makeRoom();
  }

  get bound(): number {
    return this.entries.filter(({ server }) => server).length;
  }

  makeRoom(): void {
    while (this.bound > this.size) {
      const oldest = this.entries.find(({ open }) => open === 0);
      if (!oldest) return;
      this.counts.evictions += this.drop((entry) => entry === oldest);
    }
  }
}

type Step = { do: 'open' | 'bind' | 'close' | 'expire' | 'wait' | 'unbind'; client: string; server: Node; ms: number };
const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('open', 'open', 'bind', 'bind', 'close', 'close', 'expire', 'wait', 'unbind'),
  client: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  server: fc.constantFrom(s1, s2),
  ms: fc.constantFrom(1, 40, 60, 100, 101),
});

test('bindings are told with what they have left to live, those of open clients with their whole life', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  clock.ms += 100;
  visit(table, 'b', s2);
  table.open('c');
  table.open('d');
  table.bind('d', s1);
  clock.ms += 300;
  assert.deepEqual(
    [...table.bindings()],
    [
      { client: 'a', server: s1, home: undefined, remainingMs: 600 },
      { client: 'b', server: s2, home: undefined, remainingMs: 700 },
      { client: 'd', server: s1, home: undefined, remainingMs: 1_000 },
    ],
  );
  clock.ms += 650;
  assert.deepEqual(
    [...table.bindings()].map(({ client }) => client),
    ['b', 'd'],
    'one that has run out is none',
  );
  assert.equal(table.expirations, 0, 'and is not dropped by the look');
});

test('a binding that is kept elsewhere takes its home, and the time that it has left', () => {
  const clock = new Clock();
  clock.ms = 5_000;
  const table = new StickTable<Node>({ size: 2, expireMs: 1_000, now: clock.now, homes: true });
  assert.equal(restore(table, { client: 'a', server: s1, home: s2, remainingMs: 300 }), 1);
  assert.equal(restore(table, { client: 'b', server: s2, home: undefined, remainingMs: 9_000 }), 1);
  assert.deepEqual(
    [...table.bindings()],
    [
      { client: 'a', server: s1, home: s2, remainingMs: 300 },
      { client: 'b', server: s2, home: undefined, remainingMs: 1_000 },
    ],
  );
  assert.deepEqual([table.entriesOf(s1), table.entriesOf(s2), table.home('b')], [1, 1, undefined]);
  clock.ms += 301;
  table.expire();
  assert.deepEqual([table.entries, table.entriesOf(s1), table.home('a')], [1, 0, undefined]);
});

test('a binding that is kept elsewhere is not taken where it has run out or the client has another', () => {
  const { table, clock } = make(100, 1_000);
  const kept = (client: string, remainingMs: number) => ({ client, server: s2, home: undefined, remainingMs });
  visit(table, 'away', s1);
  table.open('open');
  for (const [client, remainingMs] of [
    ['away', 500],
    ['open', 500],
    ['none', 0],
    ['none', -1],
  ] as const) {
    assert.equal(restore(table, kept(client, remainingMs)), 0, `${client} ${remainingMs}`);
  }
  assert.deepEqual([table.entriesOf(s1), table.entriesOf(s2), table.match('open')], [1, 0, undefined]);
  clock.ms += 1_001;
  assert.equal(restore(table, kept('away', 1)), 1, 'what the client had has run out');
  assert.deepEqual([table.entriesOf(s1), table.entriesOf(s2), table.entries], [0, 1, 1]);
});

test('a table that remembers no homes takes a binding without its home', () => {
  const { table } = make();
  restore(table, { client: 'a', server: s1, home: s2, remainingMs: 500 });
  table.open('a');
  assert.deepEqual([table.match('a'), table.home('a')], [s1, undefined]);
});

test('of a kept binding and one that stands, the one that was used last has the room', () => {
  const kept = (remainingMs: number) => ({ client: 'b', server: s2, home: undefined, remainingMs });
  for (const [remainingMs, stays] of [
    [500, s1],
    [700, s2],
  ] as const) {
    const { table, clock } = make(1, 1_000);
    visit(table, 'a', s1);
    clock.ms += 400;
    assert.equal(restore(table, kept(remainingMs)), 1);
    assert.deepEqual([table.entries, table.entriesOf(stays), table.evictions], [1, 1, 1]);
  }
});

test('a client takes its kept binding with it when it comes back, and the binding is counted once', () => {
  const { table, clock } = make(100, 1_000);
  restore(
    table,
    { client: 'a', server: s1, home: undefined, remainingMs: 300 },
    { client: 'b', server: s2, home: undefined, remainingMs: 200 },
  );
  assert.deepEqual(table.peek('a'), { server: s1, connections: 0, expiresMs: 300 });
  assert.equal(visit(table, 'a', s2), s1);
  assert.deepEqual([table.hits, table.misses, table.entries, table.entriesOf(s1)], [1, 0, 2, 1]);
  clock.ms += 301;
  table.expire();
  assert.deepEqual([table.entries, table.peek('a')?.expiresMs, table.peek('b')], [1, 699, undefined]);
});

test('a kept binding that has run out is none', () => {
  const { table, clock } = make(100, 1_000);
  restore(table, { client: 'a', server: s1, home: undefined, remainingMs: 300 });
  clock.ms += 301;
  assert.equal(table.peek('a'), undefined);
  assert.equal(visit(table, 'a', s2), undefined);
  assert.deepEqual([table.entries, table.entriesOf(s2), table.expirations], [1, 1, 1]);
});

test('who comes while kept bindings are collected keeps what it is bound to then', () => {
  const { table } = make(100, 1_000);
  const kept = new Kept<Node>((client) => table.knows(client));
  table.expect(kept);
  for (const client of ['a', 'b']) kept.add(client, 's1', undefined, 500);
  visit(table, 'a', s2);
  for (const _ of kept.sorting());
  table.adopt(kept, new Map([['s1', s1]]));
  assert.deepEqual([visit(table, 'a', s1), visit(table, 'b', s2)], [s2, s1]);
  assert.deepEqual([table.entries, table.entriesOf(s1), table.entriesOf(s2)], [2, 1, 1]);
});

test('a kept binding to a server that is not in force is none', () => {
  const { table } = make();
  const kept = new Kept<Node>();
  kept.add('a', 'gone', undefined, 500);
  kept.add('b', 's1', 'gone', 500);
  for (const _ of kept.sorting());
  table.adopt(kept, new Map([['s1', s1]]));
  assert.deepEqual(
    [...table.bindings()].map(({ client, home }) => [client, home]),
    [['b', undefined]],
  );
  assert.deepEqual([table.entries, visit(table, 'a', s2)], [1, undefined]);
});

test('kept bindings are listed once each, though their clients come back meanwhile', () => {
  const { table } = make(1_000, 1_000);
  const clients = Array.from({ length: 300 }, (_, i) => `c${i}`);
  restore(table, ...clients.map((client) => ({ client, server: s1, home: undefined, remainingMs: 500 })));
  for (let i = 0; i < 100; i++) visit(table, `c${i * 2}`, s1);
  const told: string[] = [];
  for (const { client } of table.bindings()) {
    told.push(client);
    visit(table, `c${(told.length * 7) % 300}`, s1);
    visit(table, `c${(told.length * 11) % 300}`, s1);
  }
  assert.deepEqual(told.toSorted(), clients.toSorted());
});

test('many kept bindings are sorted in slices, the shortest life first, and put in force at once', (t) => {
  const kept = new Kept<Node>();
  const lives = Array.from({ length: 50_000 }, (_, i) => 1 + ((i * 7_919) % 10_007));
  for (const [i, lifeMs] of lives.entries()) kept.add(`c${i}`, 's1', undefined, lifeMs);
  let slices = 0;
  for (const _ of kept.sorting()) slices++;
  assert.ok(slices >= 13, `${slices} slices`);
  const { table } = make(100_000, 1_000_000);
  const sets = t.mock.method(Map.prototype, 'set');
  table.adopt(kept, new Map([['s1', s1]]));
  assert.ok(sets.mock.callCount() < 10, `${sets.mock.callCount()} changes to put them in force`);
  assert.equal(table.entries, 50_000);
  const inOrder: number[] = [];
  for (let { first } = kept; first; { first } = kept) {
    inOrder.push(lives[Number(first.client.slice(1))]!);
    kept.take(first.client);
  }
  assert.deepEqual(
    inOrder,
    lives.toSorted((a, b) => a - b),
  );
});

test('homes are remembered only where the table is told to, and are forgotten where it is told not to any more', () => {
  for (const homes of [undefined, false, true]) {
    const table = new StickTable<Node>({ size: 9, expireMs: 1_000, ...(homes === undefined ? {} : { homes }) });
    table.open('a');
    table.bind('a', s1);
    table.bind('a', s2);
    assert.equal(table.home('a'), homes ? s1 : undefined);
    table.change({ size: 9, expireMs: 1_000, homes: true });
    assert.equal(table.home('a'), homes ? s1 : undefined);
    table.change({ size: 9, expireMs: 1_000 });
    assert.equal(table.home('a'), undefined);
    table.change({ size: 9, expireMs: 1_000, homes: true });
    assert.equal(table.home('a'), undefined);
  }
});

test('the clock of a table is that of the process', (t) => {
  let ms = 1_000;
  t.mock.method(performance, 'now', () => ms);
  const table = new StickTable<Node>({ size: 9, expireMs: 1_000 });
  visit(table, 'a', s1);
  ms += 1_001;
  table.expire();
  assert.deepEqual([table.entries, table.expirations], [0, 1]);
});

test('what a lone client costs does not depend on how large the table may grow', () => {
  const cpuMs = (size: number, connections: number): number => {
    const before = process.cpuUsage();
    const { table } = make(size, 1_000_000);
    for (let i = 0; i < connections; i++) visit(table, 'a', s1);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };
  cpuMs(1_000, 10_000);
  // 500 times as many connections have to cost more, unless one costs as much as the table is large.
  const [small, large] = [cpuMs(1_000, 100_000), cpuMs(2_000_000, 200)];
  assert.ok(large < small, `${large} ms for 200 connections, ${small} ms for 100 000 of a small table`);
});

test('however many clients there are, no map is large: to grow or to rebuild itself takes a large map long', (t) => {
  const { table } = make(50_000);
  const sets = t.mock.method(Map.prototype, 'set');
  for (let i = 0; i < 50_000; i++) visit(table, `10.0.${i >> 8}.${i & 255}`, s1);
  for (let i = 0; i < 50_000; i += 7) visit(table, `10.0.${i >> 8}.${i & 255}`, s2);
  const largest = sets.mock.calls.reduce(
    (most, { this: map }) => Math.max(most, (map as Map<unknown, unknown>).size),
    0,
  );
  t.mock.restoreAll();
  assert.equal(table.hits, Math.ceil(50_000 / 7));
  assert.ok(largest > 100 && largest < 500, `${largest} in one map`);
});

test('many bindings that run out at one moment, or have no room any more, are dropped a few at a time', () => {
  for (const way of ['expired', 'without room'] as const) {
    const { table, clock } = make(10_000, 1_000);
    for (let i = 0; i < 10_000; i++) visit(table, `c${i}`, s1);
    if (way === 'expired') clock.ms += 1_001;
    else table.change({ size: 1, expireMs: 1_000 });
    let before = table.entries;
    for (let more = true; more;) {
      more = table.expire();
      assert.ok(before - table.entries <= 1_000, `${before - table.entries} in one go`);
      before = table.entries;
    }
    assert.equal(table.entries, way === 'expired' ? 0 : 1);
    assert.equal(table.entriesOf(s1), table.entries);
    assert.equal(way === 'expired' ? table.expirations : table.evictions, 10_000 - table.entries);
  }
});

test('a listing of the table ends, however fast clients come, and tells each that stays once', () => {
  const { table } = make(100_000);
  for (let i = 0; i < 100; i++) visit(table, `c${i}`, s1);
  const told: string[] = [];
  for (const { client } of table.bindings()) {
    told.push(client);
    assert.ok(told.length <= 1_000);
    // Two come for each that is listed, one leaves, and one is here again.
    visit(table, `new${told.length}`, s2);
    visit(table, `newer${told.length}`, s2);
    table.open(`c${(told.length * 7) % 100}`);
    visit(table, `c${(told.length * 11) % 100}`, s1);
  }
  assert.equal(new Set(told).size, told.length);
  assert.deepEqual(
    told.filter((client) => client.startsWith('c')).toSorted(),
    Array.from({ length: 100 }, (_, i) => `c${i}`).toSorted(),
  );
});

test('a listing has an order that stays, whoever comes back meanwhile', () => {
  const { table } = make(1_000);
  const clients = Array.from({ length: 300 }, (_, i) => [`10.0.0.${i}`, `2001:db8::${i}`][i % 2]!);
  for (const client of clients) visit(table, client, s1);
  const list = (): string[] => Array.from(table.bindings(), ({ client }) => client);
  const before = list();
  assert.deepEqual(before.toSorted(), clients.toSorted());
  for (const client of clients.slice(100)) visit(table, client, s1);
  for (const client of clients.slice(0, 10)) table.open(client);
  assert.deepEqual(list(), before);
});

test('a client whose binding was taken away is given a server afresh, and its open connections stay', () => {
  const { table } = make();
  table.open('a');
  table.bind('a', s1);
  assert.equal(table.unbind('a'), true);
  assert.deepEqual(
    [table.match('a'), table.peek('a'), table.entries, table.entriesOf(s1)],
    [undefined, undefined, 0, 0],
  );
  assert.equal(table.unbind('a'), false, 'a client that is not bound');
  assert.equal(table.unbind('b'), false, 'a client that is not known');
  table.open('a');
  assert.equal(table.bind('a', s2), undefined, 'that is no move');
  assert.deepEqual([table.peek('a'), table.misses], [{ server: s2, connections: 2, expiresMs: undefined }, 2]);
  table.close('a');
  table.close('a');
  assert.equal(visit(table, 'a', s1), s2);
});

test('a binding that was taken away is none, is not listed, and may be restored', () => {
  const { table, clock } = make(3, 1_000);
  for (const client of ['a', 'b', 'c']) visit(table, client, s1);
  assert.deepEqual(
    ['a', 'b', 'c'].map((client) => table.unbind(client)),
    [true, true, true],
  );
  assert.deepEqual([...table.bindings()], []);
  assert.equal(restore(table, { client: 'b', server: s2, home: undefined, remainingMs: 500 }), 1);
  assert.equal(table.expire(), false);
  assert.deepEqual(
    Array.from(table.bindings(), ({ client }) => client),
    ['b'],
  );
  assert.deepEqual([table.expirations, table.evictions, table.entries], [0, 0, 1]);
  clock.ms += 501;
  assert.equal(table.unbind('b'), false, 'a binding that has run out is none');
});

test('a client that was unbound while it was connected, and left without a server, is not forgotten when it is back', () => {
  const { table, clock } = make(100, 1_000);
  visit(table, 'a', s1);
  table.open('a');
  table.unbind('a');
  table.close('a');
  visit(table, 'a', s2);
  clock.ms += 900;
  visit(table, 'b', s1);
  clock.ms += 101;
  table.expire();
  assert.deepEqual([table.peek('a'), table.entries, table.expirations], [undefined, 1, 1]);
});

test('a server without bindings is not held', () => {
  const { table, clock } = make();
  visit(table, 'a', s1);
  clock.ms += 1_001;
  table.expire();
  assert.deepEqual([table.entriesOf(s1), table.peek('a')], [0, undefined]);
});

test('whatever happens, the table is what a simple list would be', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 120, size: 'max' }), (size, steps) => {
      const { table, clock } = make(size, 100);
      const model = new Model(size, 100);
      for (const { do: what, client, server, ms } of steps) {
        const now = clock.ms;
        switch (what) {
          case 'open':
            table.open(client);
            model.open(client, now);
            break;
          case 'bind':
            table.bind(client, server);
            model.bind(client, server);
            break;
          case 'close':
            table.close(client);
            model.close(client, now);
            break;
          case 'expire':
            table.expire();
            model.counts.expirations += model.drop(({ since }) => now - since > 100);
            break;
          case 'unbind':
            assert.equal(table.unbind(client), model.unbind(client, now));
            break;
          case 'wait':
            clock.ms += ms;
        }
        const { hits, misses, evictions, expirations, moves } = table;
        assert.deepEqual({ hits, misses, evictions, expirations, moves }, model.counts);
        assert.equal(table.entries, model.bound);
        for (const each of [s1, s2]) {
          assert.equal(table.entriesOf(each), model.entries.filter((entry) => entry.server === each).length);
        }
        for (const entry of model.entries)
          assert.equal(table.match(entry.client), entry.open > 0 ? entry.server : undefined);
      }
    }),
    { numRuns: 1_000 },
  );
});
