import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { choose, foresee, type Pool } from '../../../src/pool/choose.ts';
import { Moves } from '../../../src/pool/moves.ts';
import { POLICIES } from '../../../src/pool/policies.ts';
import { StickTable } from '../../../src/pool/stick-table.ts';
import type { Server } from '../../../src/pool/server.ts';
import { testServer } from '../../support/pool.ts';

type Given = Partial<Pool> & { size?: number; homes?: boolean };

/** Servers that are up, in round robin; `tell` gives what a client gets, and binds it. */
function pool(options: readonly object[], { size = 100, homes = false, ...given }: Given = {}) {
  const servers: Server[] = options.map((server, i) => testServer(`s${i + 1}`, { server, healthCheck: {} }));
  for (const server of servers) void server.start();
  const table = new StickTable<Server>({ size, expireMs: 1_000_000, homes });
  const moves = new Moves();
  const made: Pool = { servers, policy: POLICIES.roundrobin(), table, failback: false, moves, ...given };
  const tell = (client: string | undefined, ...tried: Server[]): string => {
    const choice = choose(made, client, new Set(tried));
    return choice.kind === 'none' ? 'none' : `${choice.kind} ${choice.server?.name ?? 'anywhere'}`;
  };
  const down = (server: Server): void => void (server.health = { ...server.health, up: false });
  const up = (server: Server): void => void (server.health = { ...server.health, up: true });
  const close = (): void => servers.forEach((server) => server.close());
  /** Why the client was moved, the latest first. */
  const why = (client: string): string[] => moves.of(client).map(({ from, to, reason }) => `${from} ${to}: ${reason}`);
  const next = (client: string | undefined): string | undefined =>
    foresee(made, client, client === undefined ? undefined : table.peek(client)?.server)?.name;
  return { servers: servers as [Server, Server, Server], table, tell, down, up, close, why, next };
}

test('connections of one client that arrive together go to one server: it is bound when it is chosen', (t) => {
  const { table, tell, close } = pool([{}, {}, {}]);
  t.after(close);
  for (let i = 0; i < 6; i++) table.open('a');
  assert.deepEqual(
    Array.from({ length: 6 }, () => tell('a')),
    ['balanced s1', ...Array(5).fill('stuck s1')],
  );
  table.open('b');
  assert.equal(tell('b'), 'balanced s2');
});

test('without a stick table, and for a client that nothing identifies, each connection is balanced', (t) => {
  const { tell, close } = pool([{}, {}]);
  const { tell: unbound, close: closeOther } = pool([{}, {}], { table: undefined });
  t.after(close);
  t.after(closeOther);
  assert.deepEqual([tell(undefined), tell(undefined), tell(undefined)], ['balanced s1', 'balanced s2', 'balanced s1']);
  assert.deepEqual([unbound('a'), unbound('a')], ['balanced s1', 'balanced s2']);
});

test('a client whose server is down is bound to another, for good', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, {}]);
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  down(servers[0]);
  assert.equal(tell('a'), 'balanced s2');
  up(servers[0]);
  assert.equal(tell('a'), 'stuck s2');
  assert.equal(table.moves, 1);
});

test('with failback a client returns to its first server', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, {}], { failback: true, homes: true });
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  down(servers[0]);
  assert.equal(tell('a'), 'balanced s2');
  up(servers[0]);
  assert.equal(tell('a'), 'stuck s1');
});

test('a server that was tried in vain is left, and the binding goes along for the parallel connections', (t) => {
  const { servers, table, tell, close } = pool([{}, {}, {}]);
  t.after(close);
  table.open('a');
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  assert.equal(tell('a', servers[0]), 'balanced s2');
  assert.equal(tell('a'), 'stuck s2');
  assert.equal(tell('a', servers[0], servers[1]), 'balanced s3');
});

test('a server that was tried comes back only where no other is left', (t) => {
  const { servers, table, tell, down, close } = pool([{}, {}, {}]);
  t.after(close);
  table.open('a');
  down(servers[2]);
  assert.equal(tell('a', servers[0]), 'balanced s2');
  assert.equal(tell('a', servers[0], servers[1]).split(' ')[0], 'balanced');
});

test('with no server that is usable there is none, and the binding stays for when it is back', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, {}]);
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  servers.forEach(down);
  assert.equal(tell('a'), 'none');
  up(servers[0]);
  assert.equal(tell('a'), 'stuck s1');
});

test('a server of weight 0 keeps its clients and gets no new ones, not even as a last resort', (t) => {
  const { servers, table, tell, down, close } = pool([{ weight: 0 }, {}]);
  t.after(close);
  for (const client of ['a', 'b', 'c']) table.open(client);
  table.bind('a', servers[0]);
  assert.deepEqual([tell('a'), tell('b'), tell('c')], ['stuck s1', 'balanced s2', 'balanced s2']);
  assert.equal(tell('b', servers[1]), 'balanced s2');
  down(servers[1]);
  assert.equal(tell('b'), 'none');
});

test('a client of a drained server that was tried in vain is given to another, and back to it where there is none', (t) => {
  const { servers, table, tell, down, close } = pool([{}, {}]);
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  servers[0].setAdmin('drain');
  down(servers[1]);
  assert.equal(tell('a', servers[0]), 'stuck s1');
  table.open('b');
  assert.equal(tell('b'), 'none');
});

test('drain keeps bound clients and takes no new ones; maint has its clients moved', (t) => {
  const { servers, table, tell, close } = pool([{}, {}]);
  t.after(close);
  for (const client of ['a', 'b']) table.open(client);
  assert.equal(tell('a'), 'balanced s1');
  servers[0].setAdmin('drain');
  assert.deepEqual([tell('a'), tell('b'), tell(undefined)], ['stuck s1', 'balanced s2', 'balanced s2']);
  servers[0].setAdmin('maint');
  assert.equal(tell('a'), 'balanced s2');
});

test('a backup is used only when no other server is usable, and its clients leave it for their first server', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, { backup: true }], { homes: true });
  t.after(close);
  table.open('a');
  table.open('b');
  assert.equal(tell('a'), 'balanced s1');
  down(servers[0]);
  assert.deepEqual([tell('a'), tell('b')], ['balanced s2', 'balanced s2']);
  up(servers[0]);
  assert.deepEqual([tell('a'), tell('b')], ['stuck s1', 'balanced s1']);
});

test('a server with room comes before one where a place must be waited for; a bound client waits', (t) => {
  const { servers, table, tell, close } = pool([{ maxConnections: 1 }, {}]);
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  servers[0].slots.take();
  assert.deepEqual([tell(undefined), tell(undefined), tell('a')], ['balanced s2', 'balanced s2', 'full s1']);
});

test('where every place is taken a new client is bound to no server, and a bound one waits for its own', (t) => {
  const { servers, table, tell, close } = pool([{ maxConnections: 1 }, { maxConnections: 1 }]);
  t.after(close);
  for (const server of servers) server.slots.take();
  table.open('a');
  assert.deepEqual([tell('a'), tell('a'), table.match('a')], ['full anywhere', 'full anywhere', undefined]);
  table.bind('a', servers[1]);
  assert.equal(tell('a'), 'full s2');
  servers[1].slots.release();
  assert.equal(tell('a'), 'stuck s2');
});

test('a client that has returned to its first server is bound there', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, {}], { failback: true, homes: true });
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  down(servers[0]);
  assert.equal(tell('a'), 'balanced s2');
  up(servers[0]);
  assert.equal(tell('a'), 'stuck s1');
  assert.deepEqual([table.match('a'), table.home('a'), table.moves], [servers[0], undefined, 2]);
});

test('without failback only a backup’s client returns: another stays where it was moved', (t) => {
  const { servers, table, tell, down, up, close } = pool([{}, {}, { backup: true }], { homes: true });
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  down(servers[0]);
  assert.equal(tell('a'), 'balanced s2');
  up(servers[0]);
  assert.equal(tell('a'), 'stuck s2');
});

test('failback without a stick table is no failback', (t) => {
  const { tell, close } = pool([{}], { failback: true, table: undefined });
  t.after(close);
  assert.deepEqual([tell('a'), tell('a')], ['balanced s1', 'balanced s1']);
});

test('a backup’s client stays while every other server is a backup or takes no new client', (t) => {
  const { servers, table, tell, down, close } = pool([{}, { backup: true }, { backup: true }], { homes: true });
  t.after(close);
  down(servers[0]);
  table.open('a');
  assert.deepEqual([tell('a'), tell('a')], ['balanced s2', 'stuck s2']);
  servers[0].health = { ...servers[0].health, up: true };
  servers[0].setAdmin('drain');
  assert.equal(tell('a'), 'stuck s2');
  servers[0].setAdmin('ready');
  assert.equal(tell('a'), 'balanced s1');
});

test('each move of a client is written down with its reason', (t) => {
  const { servers, table, tell, up, close, why } = pool([{}, {}, { backup: true }], { failback: true, homes: true });
  const [s1, s2] = servers;
  t.after(close);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
  assert.deepEqual(why('a'), [], 'to be bound is no move');
  s1.health = { ...s1.health, up: false, reason: 'connect ECONNREFUSED' };
  tell('a');
  up(s1);
  tell('a');
  tell('a', s1);
  s2.setAdmin('maint');
  s1.setAdmin('maint');
  tell('a');
  s1.setAdmin('ready');
  tell('a');
  s1.leave();
  s2.setAdmin('ready');
  tell('a');
  assert.deepEqual(why('a').toReversed(), [
    's1 s2: s1 is down: connect ECONNREFUSED',
    's2 s1: it goes back to its first server',
    's1 s2: a connection to s1 failed',
    's2 s3: s2 is in maint',
    's3 s1: s3 is a backup that is not needed any more',
    's1 s2: s1 is no longer configured',
  ]);
});

test('where a client goes next is known without a choice', (t) => {
  for (const balance of ['roundrobin', 'leastconn', 'source'] as const) {
    const { servers, table, tell, close, next } = pool([{}, {}, { weight: 2 }], { policy: POLICIES[balance]() });
    t.after(close);
    for (let i = 0; i < 20; i++) {
      const client = `10.0.0.${i}`;
      const expected = next(client);
      assert.equal(next(client), expected, 'to ask changes nothing');
      table.open(client);
      assert.equal(tell(client), `balanced ${expected}`);
      assert.equal(next(client), expected, 'to its own server');
    }
    servers.forEach((server) => server.setAdmin('drain'));
    assert.equal(next('10.9.9.9'), undefined, 'no server takes new clients');
    assert.equal(`stuck ${next('10.0.0.1')}`, tell('10.0.0.1'));
  }
});

test('where a draw decides, or every place is taken, nobody knows before; a bound client knows', (t) => {
  const { servers, table, tell, close, next } = pool([{}, {}], { policy: POLICIES.random() });
  t.after(close);
  assert.deepEqual([next('a'), next(undefined)], [undefined, undefined]);
  servers[1].setAdmin('drain');
  assert.equal(next('a'), 's1', 'of one server there is no draw');
  const full = pool([{ maxConnections: 1 }]);
  t.after(full.close);
  full.table.open('a');
  full.tell('a');
  full.servers[0].slots.take();
  assert.deepEqual([full.next('b'), full.next('a')], [undefined, 's1']);
  table.open('a');
  assert.equal(tell('a'), 'balanced s1');
});

test('whatever is up, drained, tried or bound: a usable server is found where there is one', () => {
  const state = fc.record({ up: fc.boolean(), admin: fc.constantFrom('ready', 'drain', 'maint'), weight: fc.nat(2) });
  const states = fc.array(fc.tuple(state, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(states, fc.nat(5), fc.boolean(), (all, bound, failback) => {
      const { servers, table, tell, down, close } = pool(
        all.map(([{ weight }, , backup]) => ({ weight, backup })),
        { failback, homes: true },
      );
      table.open('a');
      const first = servers[bound];
      if (first) table.bind('a', first);
      for (const [i, [{ up, admin }]] of all.entries()) {
        if (!up) down(servers[i]!);
        servers[i]!.setAdmin(admin);
      }
      const tried = servers.filter((_, i) => all[i]![1]);
      const told = tell('a', ...tried);
      const open = servers.filter(({ usable, admin, weight }) => usable && admin === 'ready' && weight > 0);
      assert.equal(told === 'none', open.length === 0 && first?.usable !== true, told);
      const chosen = servers.find(({ name }) => told.endsWith(name));
      if (chosen) {
        assert.ok(chosen.usable && table.match('a') === chosen);
        if (open.some((server) => !tried.includes(server))) assert.ok(!tried.includes(chosen));
      }
      close();
    }),
  );
});
