/** What outlives generations: who is known by name, for how long, and how many connections may be parked. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Http } from '../../../src/admin/http.ts';
import { schema, type Config } from '../../../src/config/schema.ts';
import type { Generation } from '../../../src/generation/generation.ts';
import { House } from '../../../src/generation/house.ts';
import type { Log } from '../../../src/log.ts';
import { onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import type { Reports } from '../../../src/reports.ts';
import { Rounds } from '../../../src/rounds.ts';
import { StateKeeper } from '../../../src/state.ts';
import type { View } from '../../../src/view.ts';

function house(t: TestContext): House {
  const silent = new Proxy({}, { get: () => () => {} });
  const http = (): Http => new Http(async (_, response) => void response.end());
  const state = new StateKeeper(() => [], silent as unknown as Log);
  const made = new House({
    sockets: onreadSockets,
    observer: silent as unknown as Reports,
    state,
    rounds: new Rounds({} as View, silent as unknown as Log),
    metrics: http(),
    admin: http(),
  });
  t.after(() => made.close());
  return made;
}

function configure(expire: string, ...backends: readonly string[]): Config {
  const backend = { healthCheck: false, stickTable: { expire }, servers: { s1: '127.0.0.1:1' } };
  return schema.parse({
    frontends: Object.fromEntries(backends.map((name) => [`f-${name}`, { bind: '127.0.0.1:0', backend: name }])),
    backends: Object.fromEntries(backends.map((name) => [name, backend])),
  });
}

/** Puts a configuration in force as a plan's commit does. */
function enter(of: House, config: Config, before?: Generation): Generation {
  const backends = new Map(Object.keys(config.backends).map((name) => [name, of.backend(name)]));
  const frontends = new Map(Object.keys(config.frontends).map((name) => [name, of.frontend(name)]));
  for (const [name, backend] of backends) backend.plan(config.backends[name]!).commit();
  const next = { config, capacity: 10, frontends, backends };
  of.enter(next, before);
  return next;
}

const namesOf = ({ frontends }: House): string[] => frontends.map(({ name }) => name);

test('a part is known from the moment that it is in force, and is the same one from then on', (t) => {
  const of = house(t);
  assert.notEqual(of.backend('a'), of.backend('a'));
  assert.notEqual(of.frontend('f-a'), of.frontend('f-a'));
  assert.deepEqual(namesOf(of), []);
  const { backends, frontends } = enter(of, configure('1h', 'a'));
  assert.equal(of.backend('a'), backends.get('a'));
  assert.equal(of.frontend('f-a'), frontends.get('f-a'));
  assert.deepEqual(namesOf(of), ['f-a']);
});

test('a backend that has left is itself when it comes back within the expire of its table, and another after it', (t) => {
  const of = house(t);
  t.mock.method(performance, 'now', () => nowMs);
  let nowMs = 1_000_000;
  const first = enter(of, configure('10s', 'a', 'b'));
  const second = enter(of, configure('10s', 'b'), first);
  const [a, b] = [first.backends.get('a'), first.backends.get('b')];
  nowMs += 9_999;
  of.forget(second);
  assert.equal(of.backend('a'), a);
  const third = enter(of, configure('10s', 'a', 'b'), second);
  assert.equal(third.backends.get('a'), a);
  nowMs += 20_000;
  of.forget(third);
  assert.equal(of.backend('a'), a, 'in force again, it does not run out');
  const fourth = enter(of, configure('10s', 'b'), third);
  nowMs += 10_000;
  of.forget(fourth);
  assert.notEqual(of.backend('a'), a);
  assert.equal(of.backend('b'), b, 'who has not left stays');
});

test('a backend that has left is not forgotten while a server of its has a connection', (t) => {
  const of = house(t);
  t.mock.method(performance, 'now', () => nowMs);
  let nowMs = 1_000_000;
  const first = enter(of, configure('10s', 'a', 'b'));
  const a = first.backends.get('a')!;
  const second = enter(of, configure('10s', 'b'), first);
  const [s1] = a.servers;
  s1!.slots.take();
  nowMs += 60_000;
  of.forget(second);
  assert.equal(of.backend('a'), a);
  s1!.releaseSlot();
  of.forget(second);
  assert.notEqual(of.backend('a'), a);
});

test('a frontend that has left without connections and listeners is forgotten at once', (t) => {
  const of = house(t);
  const first = enter(of, configure('1h', 'a', 'b'));
  assert.deepEqual(namesOf(of), ['f-a', 'f-b']);
  enter(of, configure('1h', 'b'), first);
  assert.deepEqual(namesOf(of), ['f-b']);
  assert.notEqual(of.frontend('f-a'), first.frontends.get('f-a'));
});

test('parked connections and those that stand share the places that there are', (t) => {
  const of = house(t);
  const parking = of.parking(3);
  of.occupancy.connections = 1;
  assert.deepEqual([parking.enter(), parking.enter(), parking.enter()], [true, true, false]);
  assert.equal(of.occupancy.connections, 3);
  parking.leave();
  assert.equal(of.occupancy.connections, 2);
  assert.ok(parking.enter());
  assert.ok(!parking.enter());
});
