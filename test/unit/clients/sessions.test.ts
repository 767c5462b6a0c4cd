import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { Session } from '../../../src/clients/session.ts';
import { Sessions } from '../../../src/clients/sessions.ts';
import { Backend } from '../../../src/pool/backend.ts';
import { SILENT, testServer } from '../../support/pool.ts';

const [b, other] = [new Backend('b', SILENT), new Backend('other', SILENT)];
const [s1, s2] = [testServer('s1'), testServer('s2')];

/** What is said of a session at its end. */
const summary = ({ client, server, direction, total, moves, in: bytesIn, out, startedMs, activeMs }: Session): string =>
  `${client} ${server?.name ?? '-'} ${direction} ${total} ${moves} ${bytesIn} ${out} ${activeMs - startedMs}`;

function make(most?: number): { sessions: Sessions; ended: string[] } {
  const ended: string[] = [];
  return { sessions: new Sessions((session) => void ended.push(summary(session)), most), ended };
}

test('the connections of a client that come one after another are one session, which ends ten seconds later', () => {
  const { sessions, ended } = make();
  for (let i = 0; i < 27; i++) {
    const account = sessions.arrived(b, '10.0.0.1', i * 1_000);
    account.joined(s1);
    account.left(100_000, 1_000, i * 1_000 + 500);
  }
  sessions.sweep(36_499);
  assert.deepEqual(ended, []);
  sessions.sweep(36_500);
  assert.deepEqual(ended, ['10.0.0.1 s1 push 27 0 2700000 27000 26500']);
  assert.deepEqual(sessions.underWay, []);
});

test('a session goes on while one of its connections moves bytes, and each backend has its own', () => {
  const { sessions, ended } = make();
  const account = sessions.arrived(b, '10.0.0.1', 0);
  const elsewhere = sessions.arrived(other, '10.0.0.1', 0);
  account.joined(s1);
  for (let second = 1; second <= 60; second++) {
    account.moved(300, 50_000, second * 1_000);
    sessions.sweep(second * 1_000);
  }
  assert.deepEqual(ended, ['10.0.0.1 - idle 1 0 0 0 0'], 'a connection that has reached no server');
  elsewhere.left(0, 0, 60_500);
  account.left(0, 10, 61_000);
  sessions.sweep(71_000);
  assert.deepEqual(ended.slice(1), ['10.0.0.1 s1 pull 1 0 18000 3000010 61000']);
});

test('an idle connection has no session under way; its next request begins another', () => {
  const { sessions, ended } = make();
  const kept = sessions.arrived(b, '10.0.0.1', 0);
  const second = sessions.arrived(b, '10.0.0.1', 0);
  for (const account of [kept, second]) account.joined(s1);
  kept.moved(0, 500_000, 1_000);
  sessions.sweep(11_000);
  assert.deepEqual(ended, ['10.0.0.1 s1 pull 2 0 0 500000 1000']);
  kept.moved(20, 235, 20_000);
  sessions.sweep(20_000);
  assert.deepEqual(sessions.underWay, [], 'a keepalive begins none');
  kept.moved(1_000, 300, 30_000);
  assert.deepEqual(sessions.underWay.map(summary), ['10.0.0.1 s1 push 2 0 1000 300 0']);
  kept.moved(20, 20, 35_000);
  second.left(24, 0, 36_000);
  sessions.sweep(45_999);
  assert.equal(ended.length, 1);
  sessions.sweep(46_000);
  assert.deepEqual(ended.slice(1), ['10.0.0.1 s1 push 2 0 1044 320 6000'], 'what is moved meanwhile is counted');
});

test('the farewell of an idle connection begins no session, a last request does', () => {
  const { sessions, ended } = make();
  const [polite, late] = [sessions.arrived(b, '10.0.0.1', 0), sessions.arrived(b, '10.0.0.1', 0)];
  sessions.sweep(10_000);
  assert.equal(ended.length, 1);
  polite.left(31, 31, 90_000);
  assert.deepEqual(sessions.underWay, []);
  late.joined(s1);
  late.left(200, 56, 91_000);
  sessions.sweep(101_000);
  assert.deepEqual(ended.slice(1), ['10.0.0.1 s1 push 1 0 200 56 0']);
});

test('a client that is moved within its session says how often, and where it was last', () => {
  const { sessions, ended } = make();
  for (const server of [s1, s2, s2, s1]) {
    const account = sessions.arrived(b, '10.0.0.1', 0);
    account.joined(server);
    account.left(0, 0, 0);
  }
  sessions.sweep(10_000);
  const account = sessions.arrived(b, '10.0.0.1', 20_000);
  account.joined(s2);
  account.left(0, 0, 20_000);
  sessions.sweep(30_000);
  assert.deepEqual(ended, ['10.0.0.1 s1 idle 4 2 0 0 0', '10.0.0.1 s2 idle 1 0 0 0 0']);
});

test('where there are too many sessions the one that is quiet for longest ends, and is counted', () => {
  const { sessions, ended } = make(3);
  const accounts = ['a', 'b', 'c'].map((client, i) => sessions.arrived(b, client, i));
  accounts[0]!.moved(1_000, 0, 5);
  sessions.arrived(b, 'd', 6);
  assert.deepEqual(ended, ['b - idle 1 0 0 0 0']);
  assert.equal(sessions.evictions, 1);
  accounts[1]!.moved(1_000, 0, 7);
  assert.deepEqual(ended.slice(1), ['c - idle 1 0 0 0 0'], 'an open connection begins another');
  assert.deepEqual(
    sessions.underWay.map(({ client }) => client),
    ['a', 'd', 'b'],
  );
});

test('rates are of the last seconds, and a session without bytes has none', () => {
  const { sessions } = make();
  const [busy] = [sessions.arrived(b, 'a', 0), sessions.arrived(b, 'b', 0)];
  for (let second = 1; second <= 5; second++) {
    busy.moved(2_000, 1_000_000, second * 1_000);
    sessions.sweep(second * 1_000);
  }
  const [a, idle] = ['a', 'b'].map((client) => sessions.underWay.find((one) => one.client === client)!.perSecond);
  assert.deepEqual([Math.round(a!.in), Math.round(a!.out), idle], [2_000, 1_000_000, { in: 0, out: 0 }]);
});

test('a thousand sessions that become quiet at one moment end a few at a time', async () => {
  const { sessions, ended } = make();
  for (let i = 0; i < 1_000; i++) sessions.arrived(b, `c${i}`, 0).left(0, 0, 0);
  sessions.sweep(10_000);
  const turns = [ended.length];
  while (ended.length < 1_000) {
    await nextTurn();
    turns.push(ended.length - turns.reduce((sum, count) => sum + count, 0));
  }
  assert.ok(Math.max(...turns) <= 100, `${turns.join(', ')} ended in the turns`);
});

test('a close ends every session, and nothing is done afterwards', async (t: TestContext) => {
  const { sessions, ended } = make();
  const account = sessions.arrived(b, 'a', 0);
  sessions.arrived(b, 'b', 0).left(0, 0, 1);
  t.after(() => account.left(0, 0, 2));
  sessions.close();
  assert.deepEqual(ended, ['a - idle 1 0 0 0 0', 'b - idle 1 0 0 0 1']);
  for (let i = 0; i < 200; i++) sessions.arrived(b, `c${i}`, 0).left(0, 0, 0);
  sessions.sweep(10_000);
  sessions.close();
  const count = ended.length;
  await nextTurn();
  assert.deepEqual([count, ended.length], [202, 202]);
});

type Act = { do: 'come' | 'move' | 'leave' | 'wait'; client: number; bytes: number; ms: number };
const act: fc.Arbitrary<Act> = fc.record({
  do: fc.constantFrom('come', 'come', 'move', 'leave', 'leave', 'wait'),
  client: fc.nat(4),
  bytes: fc.constantFrom(0, 31, 500, 100_000),
  ms: fc.constantFrom(1, 2_000, 9_999, 10_000),
});

test('whatever clients do, each is in one session at most, and every byte of a session is counted once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(act, { maxLength: 100, size: 'max' }), (most, acts) => {
      const totals = { in: 0, ended: 0 };
      const sessions = new Sessions((session) => {
        totals.ended += session.in;
        assert.ok(session.isUnderWay && session.total >= session.connections && session.total > 0);
      }, most);
      const open: { client: number; account: Session }[] = [];
      let nowMs = 0;
      for (const { do: what, client, bytes, ms } of acts) {
        const mine = open.find((one) => one.client === client);
        const before = mine?.account.isUnderWay === true;
        if (what === 'come') open.push({ client, account: sessions.arrived(b, String(client), nowMs) });
        else if (what === 'wait') sessions.sweep((nowMs += ms));
        else if (mine) {
          mine.account[what === 'move' ? 'moved' : 'left'](bytes, 0, nowMs);
          if (before || bytes >= 256) totals.in += bytes;
          if (what === 'leave') open.splice(open.indexOf(mine), 1);
        }
        const now = sessions.underWay;
        assert.ok(now.length <= most);
        assert.equal(new Set(now.map((session) => session.client)).size, now.length);
        for (const session of now) {
          assert.ok(session.isUnderWay && nowMs - session.activeMs < 10_000);
          assert.equal(session.connections, open.filter((one) => String(one.client) === session.client).length);
        }
        assert.deepEqual(
          now.map((session) => session.activeMs),
          now.map((session) => session.activeMs).toSorted((x, y) => x - y),
        );
      }
      sessions.close();
      assert.deepEqual([sessions.underWay, totals.ended], [[], totals.in]);
    }),
    { numRuns: 500 },
  );
});
