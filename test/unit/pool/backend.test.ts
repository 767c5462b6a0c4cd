/** A backend's configuration is planned, and then committed or rolled back. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { mock, test } from 'node:test';
import { Backend } from '../../../src/pool/backend.ts';
import type { PoolParts } from '../../../src/pool/members.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { settled, SILENT } from '../../support/pool.ts';

const EVERY_KIND = backendConfig({
  servers: { literal: '10.0.0.1:5000', named: 'registry1:5000', found: 'dns:r.test:5000' },
});
const TWO = backendConfig({ servers: { s1: '10.0.0.1:5000', s2: '10.0.0.2:5000' } });

/** The timers of this process, and all else that keeps it alive. */
const resources = (): string[] => process.getActiveResourcesInfo().toSorted();

test('a backend that does not exist yet has no servers, no table and no timer, and its configuration cannot be read', () => {
  const before = resources();
  const backend = new Backend('b', SILENT);
  assert.deepEqual([backend.servers, backend.table, resources()], [[], undefined, before]);
  assert.throws(() => backend.config, /the backend b is not in force yet/);
});

for (const committed of [false, true]) {
  test(`a plan that is rolled back leaves nothing, ${committed ? 'beside what is in force' : 'of a backend that never was in force'}`, async (t) => {
    const ended: (AbortSignal | undefined)[] = [];
    const never: PoolParts = {
      ask: (_, closed) => {
        ended.push(closed);
        return new Promise(() => {});
      },
      lookup: () => new Promise(() => {}),
      probe: (_endpoint, _name, _check, _sendProxy, signal) => {
        ended.push(signal);
        return new Promise(() => {});
      },
    };
    const backend = new Backend('b', SILENT, never);
    t.after(() => backend.close());
    if (committed) backend.plan(TWO).commit();
    // The checks of the servers in force begin.
    await new Promise((resolve) => setTimeout(resolve, 1));
    const [servers, inForce, own] = [backend.servers, resources(), ended.length];
    const step = backend.plan(EVERY_KIND);
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual([ended.length - own, backend.servers], [2, servers], 'a check and a question began');
    assert.notDeepEqual(resources(), inForce);
    step.rollback();
    assert.deepEqual([backend.servers, resources()], [servers, inForce]);
    await step.ready;
    assert.deepEqual(
      ended.map((signal) => signal?.aborted),
      [...Array(own).fill(false), true, true],
    );
  });
}

test('after its close a backend keeps no timer', async () => {
  const before = resources();
  const ask: PoolParts['ask'] = () => Promise.resolve({ endpoints: [], ttlSeconds: 60, unanswered: [] });
  const backend = new Backend('b', SILENT, { ask, lookup: () => Promise.resolve([]) });
  backend.plan(EVERY_KIND).commit();
  await settled();
  backend.close();
  assert.deepEqual(resources(), before);
});

test('a check that is under way is broken off with the plan that began it: its socket is closed', async (t) => {
  const node = createServer().listen(0, '127.0.0.1');
  t.after(() => node.close());
  await once(node, 'listening');
  const backend = new Backend('b', SILENT);
  const address = `127.0.0.1:${(node.address() as AddressInfo).port}`;
  // It says nothing, and the check waits for an hour.
  const step = backend.plan(backendConfig({ healthCheck: { type: 'http', timeout: '1h' }, servers: { s: address } }));
  const [socket] = (await once(node, 'connection')) as [Socket];
  socket.on('error', () => {}).resume();
  step.rollback();
  await once(socket, 'close');
});

test('a plan is ready when each new name has had its first answer, good or bad', async (t) => {
  let answer: (addresses: readonly string[]) => void = () => {};
  const lookup = (): Promise<readonly string[]> => new Promise((resolve) => (answer = resolve));
  const scene = new Scene(t, { lookup, ask: () => Promise.reject(new Error('SERVFAIL')) });
  let ready = false;
  const step = scene.backend.plan(EVERY_KIND);
  void step.ready.then(() => (ready = true));
  await settled();
  assert.equal(ready, false);
  answer(['10.0.0.9']);
  await settled();
  assert.equal(ready, true);
  step.rollback();
});

/** When the plan of these servers is ready, in milliseconds, where no name is ever answered for. */
async function readyAfter(scene: Scene, servers: object, patienceMs?: number): Promise<number> {
  const step = scene.backend.plan(backendConfig({ servers }), patienceMs);
  const from = scene.nowMs;
  const ready = step.ready.then(() => scene.nowMs - from);
  await settled();
  for (let i = 0; i < 1_000; i++) await scene.pass(10);
  step.commit();
  return ready;
}

test('a plan waits five seconds for a name where nothing else could serve, and a moment where something can', async (t) => {
  const never = (): Promise<never> => new Promise(() => {});
  for (const [servers, patienceMs, readyMs] of [
    [{ s1: '10.0.0.1:5000' }, undefined, 0],
    [{ s1: 'registry1:5000' }, undefined, 5_000],
    [{ s1: 'dns:registry1:5000' }, undefined, 5_000],
    [{ s1: 'registry1:5000', s2: 'srv:_r._tcp.test', s3: '10.0.0.1:5000' }, undefined, 250],
    [{ s1: 'registry1:5000', s2: { address: '10.0.0.1:5000', weight: 0 } }, undefined, 5_000],
    [{ s1: 'registry1:5000' }, 250, 250],
  ] as const) {
    const scene = new Scene(t, { lookup: never, ask: never });
    assert.equal(await readyAfter(scene, servers, patienceMs), readyMs, JSON.stringify(servers));
    scene.backend.close();
    mock.timers.reset();
  }
});

test('a reload waits a moment for a name beside a server that serves already, whatever that server is called', async (t) => {
  let answer: () => Promise<readonly string[]> = () => Promise.resolve(['10.0.0.9']);
  const scene = new Scene(t, { lookup: () => answer() });
  assert.equal(await readyAfter(scene, { s1: 'registry1:5000' }), 0);
  answer = () => new Promise(() => {});
  assert.equal(await readyAfter(scene, { s1: 'registry1:5000', s2: 'registry2:5000' }), 250);
  assert.equal(await readyAfter(scene, { s3: 'registry3:5000' }), 5_000);
});

test('a name that fails is told when it begins and when it ends, whatever kind it is, and not in between', async (t) => {
  let says: Error | readonly string[] = new Error('no such name');
  const lookup = async (): Promise<readonly string[]> => {
    if (says instanceof Error) throw says;
    return says;
  };
  const ask = async () => {
    const endpoints = (await lookup()).map((host) => ({ host, port: 5000, name: 'r.test' }));
    return { endpoints, ttlSeconds: 0, unanswered: [] };
  };
  const scene = new Scene(t, { lookup, ask });
  const states = () => scene.backend.names.map(({ server, servers, failing }) => [server, servers, failing?.reason]);
  const step = scene.backend.plan(EVERY_KIND);
  await settled();
  assert.deepEqual(scene.heard, [], 'a plan tells nothing');
  step.commit();
  assert.deepEqual(scene.heard.splice(0), ['named: no such name', 'found: no such name']);
  assert.deepEqual(states(), [
    ['named', 0, 'no such name'],
    ['found', 0, 'no such name'],
  ]);
  says = new Error('no answer');
  await scene.pass(10_000);
  assert.deepEqual(scene.heard, []);
  assert.equal(states()[0]?.[2], 'no answer', 'the last reason');
  says = ['10.0.0.7'];
  await scene.pass(10_000);
  assert.deepEqual(new Set(scene.heard.splice(0)), new Set(['found: resolves', 'named: resolves']));
  says = new Error('no answer');
  await scene.pass(60_000);
  assert.deepEqual(new Set(scene.heard.splice(0)), new Set(['found: no answer', 'named: no answer']));
  assert.deepEqual(states(), [
    ['named', 1, 'no answer'],
    ['found', 1, 'no answer'],
  ]);
  assert.deepEqual(scene.names, ['literal', 'named', 'found-10.0.0.7:5000'], 'the servers stay');
  await scene.commit(TWO);
  says = ['10.0.0.7'];
  await scene.pass(60_000);
  assert.deepEqual([scene.heard, scene.backend.names], [[], []], 'nothing is told of a name that has left');
});

test('an answer without an address, or with more than may be servers, is a name that fails; the servers stay as they are', async (t) => {
  const scene = new Scene(t);
  const many = Array.from({ length: 1_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  const first = many.slice(500, 510);
  scene.found = first;
  await scene.commit(backendConfig({ servers: { found: 'dns:r.test:5000' }, resolveInterval: '1s' }));
  assert.deepEqual(scene.names.length, 10);
  scene.found = many;
  await scene.pass(1_000);
  assert.deepEqual(scene.heard.splice(0), ['found: it has 1000 addresses, of which 256 are used']);
  const kept = scene.names;
  assert.equal(kept.length, 256);
  assert.ok(first.every((host) => kept.includes(`found-${host}:5000`)));
  scene.found = many.toReversed();
  await scene.pass(3_000);
  assert.deepEqual(scene.names, kept, 'another order is no other server');
  scene.found = [];
  await scene.pass(3_000);
  assert.deepEqual([scene.names, scene.heard], [kept, []]);
  scene.found = first;
  await scene.pass(3_000);
  assert.deepEqual([scene.names.length, scene.heard], [10, ['found: resolves']]);
});

test('what a plan has learnt of a server is told with the commit, and nothing of a plan that is rolled back', async (t) => {
  const scene = new Scene(t);
  scene.dead.add('10.0.0.2');
  const plan = async () => {
    const step = scene.backend.plan(TWO);
    await scene.pass(1);
    assert.deepEqual([scene.told, scene.checks, scene.names], [[], 0, []]);
    return step;
  };
  (await plan()).rollback();
  await scene.pass(60_000);
  assert.deepEqual(scene.told, []);
  (await plan()).commit();
  assert.deepEqual(scene.told, ['came s1', 'came s2', 'down s2']);
  assert.deepEqual([scene.server('s1').usable, scene.server('s2').usable], [true, false]);
});

test('servers that DNS finds for a plan are checked before the commit, and are in force with the commit alone', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  scene.found = ['10.0.1.1', '10.0.1.2'];
  scene.dead.add('10.0.1.2');
  const step = scene.backend.plan(backendConfig({ servers: { r: 'dns:r.test:5000' } }));
  await settled();
  await scene.pass(1);
  assert.deepEqual(scene.names, ['s1', 's2']);
  step.commit();
  assert.deepEqual(scene.names, ['r-10.0.1.1:5000', 'r-10.0.1.2:5000']);
  assert.deepEqual(scene.told.slice(-5), [
    'left s1',
    'left s2',
    'came r-10.0.1.1:5000',
    'came r-10.0.1.2:5000',
    'down r-10.0.1.2:5000',
  ]);
});

test('a server of the same name keeps health and the operator’s state over a commit', async (t) => {
  const scene = new Scene(t);
  scene.dead.add('10.0.0.2');
  await scene.commit(TWO);
  scene.server('s1').setAdmin('drain');
  const [s1, s2] = scene.backend.servers;
  const since = s2?.health.since;
  await scene.commit({ ...TWO, balance: 'leastconn' });
  assert.deepEqual([s1?.admin, s2?.health.up, s2?.health.since], ['drain', false, since]);
  assert.deepEqual([...scene.backend.servers], [s1, s2]);
  assert.equal(scene.backend.config.balance, 'leastconn');
});

test('a connection keeps to the table and to the client that it began with, whatever a reload makes of them', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const old = scene.backend.table!;
  const stay = scene.backend.open('10.1.1.1');
  const { stickTable } = backendConfig({ stickTable: { prefix: { ipv4: 24 } }, servers: { s1: '10.0.0.1:5000' } });
  await scene.commit({ ...TWO, stickTable });
  assert.notEqual(scene.backend.table, old);
  assert.equal(stay.choose(new Set()).kind, 'balanced');
  assert.deepEqual([old.peek('10.1.1.1')?.connections, scene.backend.table?.entries], [1, 0]);
  stay.close();
  assert.equal(old.peek('10.1.1.1')?.connections, 0);
  assert.equal(scene.visit('10.1.1.2').split(' ')[0], 'balanced');
  assert.equal(scene.visit('10.1.1.3').split(' ')[0], 'stuck');
});

test('an equal prefix keeps the table, though it is another object', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const first = scene.visit('10.1.1.1');
  await scene.commit(structuredClone(TWO));
  assert.equal(scene.visit('10.1.1.1'), first.replace('balanced', 'stuck'));
});

test('a backend that is closed goes on serving what began before, and is itself again when it is back', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const first = scene.visit('10.1.1.1');
  scene.server('s2').setAdmin('maint');
  const before = [...scene.backend.servers];
  scene.backend.close();
  scene.dead.add('10.0.0.1');
  await scene.pass(60_000);
  assert.deepEqual([scene.visit('10.1.1.1'), scene.server('s1').usable], [first.replace('balanced', 'stuck'), true]);
  scene.backend.plan(structuredClone(TWO)).rollback();
  const told = scene.told.length;
  await scene.commit(structuredClone(TWO));
  assert.deepEqual([...scene.backend.servers], before);
  assert.deepEqual([scene.server('s2').admin, scene.backend.table?.peek('10.1.1.1')?.server.name], ['maint', 's1']);
  assert.deepEqual(scene.told.slice(told), ['down s1'], 'it is checked again, and its first failure counts');
});

test('the bindings of a backend run out by themselves from its first commit on', async (t) => {
  const scene = new Scene(t);
  await scene.commit(backendConfig({ stickTable: { expire: '10s' }, servers: { s1: '10.0.0.1:5000' } }));
  scene.visit('10.1.1.1');
  await scene.pass(9_000);
  assert.equal(scene.backend.table?.entries, 1);
  await scene.pass(3_000);
  assert.deepEqual([scene.backend.table?.entries, scene.backend.table?.expirations], [0, 1]);
  scene.backend.close();
  await scene.commit(scene.backend.config);
  scene.visit('10.1.1.1');
  await scene.pass(12_000);
  assert.deepEqual([scene.backend.table?.entries, scene.backend.table?.expirations], [0, 2], 'after its return too');
});

test('with failback a client returns to its first server, as the configuration in force has it', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  scene.visit('10.1.1.1');
  scene.server('s1').setAdmin('maint');
  await scene.commit({
    ...TWO,
    stickTable: backendConfig({ stickTable: { failback: 'return' }, servers: { s: 'h:1' } }).stickTable,
  });
  assert.equal(scene.visit('10.1.1.1'), 'balanced s2');
  scene.server('s1').setAdmin('ready');
  assert.equal(scene.backend.binding('10.1.1.1')?.next?.name, 's1');
  assert.equal(scene.visit('10.1.1.1'), 'stuck s1');
  assert.equal(scene.backend.binding('10.1.1.9'), undefined);
});

test('another size, another expire and another policy count from the commit on', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  for (const last of [1, 2, 3]) scene.visit(`10.1.1.${last}`);
  const { table } = scene.backend;
  const small = backendConfig({ stickTable: { size: 2, expire: '5s' }, servers: { s: 'h:1' } }).stickTable;
  await scene.commit({ ...TWO, stickTable: small, balance: 'leastconn' });
  assert.deepEqual([scene.backend.table === table, table?.size, table?.entries], [true, 2, 2]);
  await scene.pass(7_000);
  assert.equal(table?.entries, 0);
  scene.server('s1').slots.take();
  scene.server('s1').slots.take();
  assert.deepEqual([scene.visit('10.1.1.4'), scene.visit('10.1.1.5')], ['balanced s2', 'balanced s2']);
  await scene.commit({ ...TWO, stickTable: false });
  assert.equal(scene.backend.table, undefined);
});

test('a check of the former kind that is still under way says nothing of the server', async (t) => {
  const answers: ((ok: boolean) => void)[] = [];
  const scene = new Scene(t, {
    probe: () => new Promise((resolve) => answers.push((ok) => resolve(ok ? { ok } : { ok, reason: 'refused' }))),
  });
  await scene.commit(TWO);
  assert.equal(answers.length, 2);
  await scene.commit({
    ...TWO,
    healthCheck: backendConfig({ healthCheck: { fall: 1 }, servers: { s: 'h:1' } }).healthCheck,
  });
  assert.equal(answers.length, 4);
  answers[0]?.(false);
  await settled();
  assert.equal(scene.server('s1').health.up, true);
  answers[2]?.(false);
  await settled();
  assert.equal(scene.server('s1').health.up, false);
});

test('without a stick table a client is its IPv4 address or its IPv6 /64, and who has no address is nobody', async (t) => {
  const scene = new Scene(t);
  await scene.commit({ ...TWO, stickTable: false });
  assert.equal(scene.backend.clientKey('10.1.1.1'), '10.1.1.1');
  assert.equal(scene.backend.clientKey('fd00:1:2:3::4'), 'fd00:1:2:3::/64');
  assert.equal(scene.backend.clientKey(undefined), undefined);
  await scene.commit(TWO);
  assert.equal(scene.backend.clientKey(undefined), undefined);
});

test('another prefix of either family is another table', async (t) => {
  const scene = new Scene(t);
  const prefixed = (prefix: object) => backendConfig({ stickTable: { prefix }, servers: { s1: '10.0.0.1:5000' } });
  await scene.commit(prefixed({}));
  let { table } = scene.backend;
  for (const prefix of [{ ipv4: 24 }, { ipv4: 24, ipv6: 48 }]) {
    await scene.commit(prefixed(prefix));
    assert.notEqual(scene.backend.table, table);
    ({ table } = scene.backend);
  }
  await scene.commit(prefixed({ ipv4: 24, ipv6: 48 }));
  assert.equal(scene.backend.table, table);
});

for (const [stickTable, keptMs] of [
  [{ expire: '10m' }, 600_000],
  [false, 1_800_000],
] as const) {
  test(`a backend that was closed is forgotten ${keptMs / 60_000} minutes later, and not while it has a connection`, async (t) => {
    let nowMs = 1_000;
    t.mock.method(performance, 'now', () => nowMs);
    const scene = new Scene(t);
    await scene.commit(backendConfig({ stickTable, servers: { s1: '10.0.0.1:5000', s2: '10.0.0.2:5000' } }));
    nowMs += 10 * keptMs;
    assert.equal(scene.backend.isForgotten, false, 'in force');
    scene.backend.close();
    nowMs += keptMs - 1;
    assert.equal(scene.backend.isForgotten, false);
    nowMs += 1;
    assert.equal(scene.backend.isForgotten, true);
    scene.server('s2').slots.take();
    assert.equal(scene.backend.isForgotten, false);
    scene.server('s2').releaseSlot();
    assert.equal(scene.backend.isForgotten, true);
    await scene.commit(scene.backend.config);
    assert.equal(scene.backend.isForgotten, false, 'back in force');
  });
}

test('a policy keeps its turn over a commit that does not change it', async (t) => {
  const scene = new Scene(t);
  const config = { ...TWO, stickTable: false as const };
  await scene.commit(config);
  const got = [scene.visit('10.1.1.1')];
  await scene.commit(structuredClone(config));
  got.push(scene.visit('10.1.1.1'), scene.visit('10.1.1.1'));
  assert.deepEqual(got, ['balanced s1', 'balanced s2', 'balanced s1']);
});

test('a backup’s clients are remembered to have come from elsewhere, without failback too', async (t) => {
  const scene = new Scene(t);
  const config = backendConfig({
    servers: { s1: '10.0.0.1:5000', s2: { address: '10.0.0.2:5000', backup: true } },
  });
  await scene.commit(config);
  assert.equal(scene.visit('10.1.1.1'), 'balanced s1');
  scene.server('s1').setAdmin('maint');
  assert.equal(scene.visit('10.1.1.1'), 'balanced s2');
  scene.server('s1').setAdmin('ready');
  assert.equal(scene.visit('10.1.1.1'), 'stuck s1');
});

test('without failback a client stays where it was moved, though a backup’s clients are remembered', async (t) => {
  const scene = new Scene(t);
  await scene.commit(
    backendConfig({
      servers: { s1: '10.0.0.1:5000', s2: '10.0.0.2:5000', s3: { address: '10.0.0.3:5000', backup: true } },
    }),
  );
  assert.equal(scene.visit('10.1.1.1'), 'balanced s1');
  scene.server('s1').setAdmin('maint');
  assert.equal(scene.visit('10.1.1.1'), 'balanced s2');
  scene.server('s1').setAdmin('ready');
  assert.equal(scene.visit('10.1.1.1'), 'stuck s2');
});

test('where nobody is to return, nobody’s first server is remembered', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  scene.visit('10.1.1.1');
  scene.server('s1').setAdmin('maint');
  assert.equal(scene.visit('10.1.1.1'), 'balanced s2');
  assert.equal(scene.backend.table?.home('10.1.1.1'), undefined);
});

test('a size alone, and an expire alone, count from the commit on', async (t) => {
  const scene = new Scene(t);
  const table = (stickTable: object) => backendConfig({ stickTable, servers: { s1: '10.0.0.1:5000' } });
  await scene.commit(table({ size: 3, expire: '10m' }));
  for (const last of [1, 2, 3]) scene.visit(`10.1.1.${last}`);
  await scene.commit(table({ size: 2, expire: '10m' }));
  assert.equal(scene.backend.table?.entries, 2);
  await scene.commit(table({ size: 2, expire: '1s' }));
  await scene.pass(2_000);
  assert.equal(scene.backend.table?.entries, 0);
});

test('who has no address is nobody to the table, and a backend without a table has no bindings', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const stay = scene.backend.open(undefined);
  stay.choose(new Set());
  stay.close();
  const { table } = scene.backend;
  assert.deepEqual([table?.entries, table?.misses, table?.hits], [0, 0, 0]);
  await scene.commit({ ...TWO, stickTable: false });
  assert.equal(scene.backend.binding('10.1.1.1'), undefined);
});
