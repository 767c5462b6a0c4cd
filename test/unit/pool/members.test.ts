/** Who the servers of a backend are: identity is the name, whatever comes and goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Members } from '../../../src/pool/members.ts';
import { Queue } from '../../../src/pool/queue.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { settled, SILENT } from '../../support/pool.ts';

const STICKY = { stickTable: { expire: '10m' } };
const ONE = backendConfig({ ...STICKY, servers: { s1: '10.0.0.1:5000' } });
const TWO = { ...ONE, ...backendConfig({ ...STICKY, servers: { s1: '10.0.0.1:5000', s2: '10.0.0.2:5000' } }) };
const FOUND = backendConfig({ ...STICKY, resolveInterval: '30s', servers: { r: 'dns:r.test:5000' } });
const MINUTE = 60_000;

const found = (host: string): string => `r-${host}:5000`;

test('a server that leaves with a reload and comes back with another is the same server', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  s2.setAdmin('maint');
  s2.traffic.connections = 7;
  await scene.commit(ONE);
  assert.deepEqual([scene.names, s2.usable, s2.admin], [['s1'], false, 'maint']);
  await scene.pass(9 * MINUTE);
  await scene.commit(TWO);
  assert.equal(scene.server('s2'), s2);
  assert.deepEqual([s2.admin, s2.traffic.connections], ['maint', 7]);
  assert.deepEqual(scene.told, ['came s1', 'came s2', 'maint s2', 'left s2', 'came s2']);
  s2.setAdmin('ready');
  assert.equal(s2.usable, true);
  await scene.commit(ONE);
  scene.told.length = 0;
  s2.setAdmin('drain');
  assert.deepEqual(scene.told, [], 'nothing is told of a server that is not in force');
});

test('so is one that leaves the answers of DNS and comes back to them', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1', '10.0.1.2'];
  await scene.commit(FOUND);
  const gone = scene.server(found('10.0.1.2'));
  gone.setAdmin('drain');
  scene.found = ['10.0.1.1'];
  await scene.pass(2 * MINUTE);
  assert.deepEqual(scene.names, [found('10.0.1.1')]);
  scene.found = ['10.0.1.2', '10.0.1.1'];
  await scene.pass(MINUTE);
  assert.equal(scene.server(found('10.0.1.2')), gone);
  assert.deepEqual([gone.admin, gone.usable], ['drain', true]);
});

test('one answer of DNS without an address costs its server nothing', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1', '10.0.1.2'];
  await scene.commit(FOUND);
  const told = [...scene.told];
  scene.found = ['10.0.1.1'];
  await scene.pass(30_000);
  scene.found = ['10.0.1.1', '10.0.1.2'];
  await scene.pass(30_000);
  assert.deepEqual([scene.names.length, scene.told], [2, told]);
});

test('while a server that DNS has named is down, DNS is asked every two seconds', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1'];
  scene.dead.add('10.0.1.1');
  await scene.commit(FOUND);
  // As a container that is made anew: the first question may come too early.
  for (let i = 0; i < 4; i++) await scene.pass(1_000);
  scene.found = ['10.0.1.2'];
  for (let i = 0; i < 5; i++) await scene.pass(1_000);
  assert.deepEqual(scene.names, [found('10.0.1.2')]);
  scene.found = ['10.0.1.3'];
  for (let i = 0; i < 20; i++) await scene.pass(1_000);
  assert.deepEqual(scene.names, [found('10.0.1.2')], 'nothing hurries any more');
});

test('its clients are its clients again, where they have not been moved', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const bound = [scene.visit('10.1.1.1'), scene.visit('10.1.1.2')];
  assert.deepEqual(bound, ['balanced s1', 'balanced s2']);
  await scene.commit(ONE);
  await scene.pass(9 * MINUTE);
  await scene.commit(TWO);
  assert.deepEqual([scene.visit('10.1.1.2'), scene.visit('10.1.1.1')], ['stuck s2', 'stuck s1']);
});

test('a server that is back is up until its first check, and one failure takes it down', async (t) => {
  const scene = new Scene(t);
  scene.dead.add('10.0.0.2');
  await scene.commit(TWO);
  assert.equal(scene.server('s2').health.up, false);
  await scene.commit(ONE);
  scene.told.length = 0;
  const step = scene.backend.plan(TWO);
  await scene.pass(1);
  step.rollback();
  assert.deepEqual(scene.told, []);
  scene.backend.plan(TWO).commit();
  assert.deepEqual([scene.server('s2').usable, scene.told], [true, ['came s2']]);
  await scene.pass(1);
  assert.deepEqual(scene.told, ['came s2', 'down s2']);
});

test('what is known of a server is forgotten when `expire` has passed since it left', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  s2.setAdmin('maint');
  await scene.commit(ONE);
  await scene.pass(10 * MINUTE + 1_000);
  await scene.commit(TWO);
  assert.notEqual(scene.server('s2'), s2);
  assert.equal(scene.server('s2').admin, 'ready');
});

test('without a stick table it is forgotten after half an hour', async (t) => {
  const scene = new Scene(t);
  const [one, two] = [ONE, TWO].map((config) => ({ ...config, stickTable: false as const }));
  await scene.commit(two!);
  const s2 = scene.server('s2');
  await scene.commit(one!);
  await scene.pass(29 * MINUTE);
  await scene.commit(two!);
  assert.equal(scene.server('s2'), s2);
  await scene.commit(one!);
  await scene.pass(31 * MINUTE);
  await scene.commit(two!);
  assert.notEqual(scene.server('s2'), s2);
});

test('it is not forgotten while it has a connection, nor while a client with open connections is bound to it', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  s2.slots.take();
  await scene.commit(ONE);
  await scene.pass(20 * MINUTE);
  await scene.commit(TWO);
  assert.equal(scene.server('s2'), s2);
  s2.releaseSlot();
  const stays = [scene.backend.open('10.1.1.1'), scene.backend.open('10.1.1.2')];
  assert.deepEqual(
    stays.map((stay) => stay.choose(new Set())).map((choice) => 'server' in choice && choice.server?.name),
    ['s1', 's2'],
  );
  await scene.commit(ONE);
  await scene.pass(20 * MINUTE);
  await scene.commit(TWO);
  assert.equal(scene.server('s2'), s2);
  for (const stay of stays) stay.close();
  for (const name of ['s1', 's2']) scene.server(name).releaseSlot();
  await scene.commit(ONE);
  await scene.pass(20 * MINUTE + 2_000);
  await scene.commit(TWO);
  assert.notEqual(scene.server('s2'), s2);
});

test('a plan that is rolled back leaves a server that has left as it was', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  s2.setAdmin('drain');
  await scene.commit(ONE);
  const { config } = s2;
  const step = scene.backend.plan({ ...TWO, servers: { ...TWO.servers, s2: { ...TWO.servers['s1']!, backup: true } } });
  await settled();
  assert.deepEqual([s2.stage, s2.config.backup, s2.usable], ['planned', true, false]);
  step.rollback();
  assert.deepEqual([s2.stage, s2.config], ['away', config]);
  await scene.pass(11 * MINUTE);
  await scene.commit(TWO);
  assert.notEqual(scene.server('s2'), s2, 'its time went on');
});

test('an answer for the configuration in force may bring what a plan has brought; the roll-back then leaves it', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1'];
  await scene.commit(FOUND);
  const name = found('10.0.1.2');
  const step = scene.backend.plan({
    ...FOUND,
    servers: { ...FOUND.servers, [name]: ONE.servers['s1']! },
  });
  scene.found = ['10.0.1.1', '10.0.1.2'];
  await scene.pass(30_000);
  const { config } = scene.server(name);
  assert.deepEqual(config.address, { host: '10.0.1.2', port: 5000 });
  step.rollback();
  assert.equal(scene.server(name).usable, true);
});

test('an answer for what is planned alone touches nothing that is in force', async (t) => {
  const scene = new Scene(t);
  await scene.commit(ONE);
  const [told, servers] = [[...scene.told], scene.backend.servers];
  const step = scene.backend.plan(FOUND);
  for (const host of ['10.0.1.1', '10.0.1.2', '10.0.1.3']) {
    scene.found = [host];
    await scene.pass(30_000);
  }
  assert.deepEqual([scene.told, scene.backend.servers], [told, servers]);
  step.commit();
  assert.deepEqual(scene.names, [found('10.0.1.2'), found('10.0.1.3')], 'two answers lacked the first');
});

test('another resolveInterval loses nothing that was found, and brings the next question forward', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1'];
  await scene.commit({ ...FOUND, resolveInterval: 3_600_000 });
  const servers = [...scene.backend.servers];
  scene.found = [];
  await scene.commit({ ...FOUND, resolveInterval: 10_000 });
  assert.deepEqual([...scene.backend.servers], servers);
  scene.found = ['10.0.1.1', '10.0.1.2'];
  await scene.pass(10_000);
  assert.deepEqual(scene.names, [found('10.0.1.1'), found('10.0.1.2')]);
});

test('a question that is no longer configured is not asked any more, and one that is back begins anew', async (t) => {
  let asked = 0;
  const ask = async () => {
    asked++;
    return { endpoints: [{ host: '10.0.1.1', port: 5000, name: 'r.test' }], ttlSeconds: 3600, unanswered: [] };
  };
  const scene = new Scene(t, { ask });
  await scene.commit(FOUND);
  await scene.commit(ONE);
  const before = asked;
  await scene.pass(5 * MINUTE);
  assert.equal(asked, before);
  await scene.commit(FOUND);
  assert.deepEqual([asked, scene.names], [before + 1, [found('10.0.1.1')]]);
});

test('while a backend is closed nothing is asked; when it is back it begins with what it had found', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1'];
  await scene.commit(FOUND);
  const servers = [...scene.backend.servers];
  scene.backend.close();
  scene.found = [];
  await scene.pass(5 * MINUTE);
  await scene.commit(FOUND);
  assert.deepEqual([...scene.backend.servers], servers);
});

test('an entry that is called as a found server would be is that server', async (t) => {
  const scene = new Scene(t);
  scene.found = ['10.0.1.1'];
  const name = found('10.0.1.1');
  await scene.commit({ ...FOUND, servers: { ...FOUND.servers, [name]: ONE.servers['s1']! } });
  assert.deepEqual(scene.names, [name]);
  assert.deepEqual(scene.server(name).config.address, { host: '10.0.0.1', port: 5000 });
});

test('a server that has left is not forgotten while a plan is to bring it back', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  await scene.commit(ONE);
  await scene.pass(10 * MINUTE - 10_000);
  const step = scene.backend.plan(TWO);
  await scene.pass(20_000);
  step.commit();
  assert.equal(scene.server('s2'), s2);
});

test('a server that has left and that a plan, rolled back, was to bring back may come back with the next', async (t) => {
  const scene = new Scene(t);
  await scene.commit(TWO);
  const s2 = scene.server('s2');
  await scene.commit(ONE);
  scene.backend.plan(TWO).rollback();
  await scene.commit(TWO);
  assert.equal(scene.server('s2'), s2);
});

test('what a plan learns of a new server while the backend is closed counts at the commit', async (t) => {
  const scene = new Scene(t);
  await scene.commit(ONE);
  scene.backend.close();
  scene.dead.add('10.0.0.2');
  const step = scene.backend.plan(TWO);
  await scene.pass(1);
  step.commit();
  assert.deepEqual([scene.server('s2').health.up, scene.told], [false, ['came s1', 'came s2', 'down s2']]);
});

test('without a clock of its own a backend goes by that of the process', async (t) => {
  let nowMs = 1_000;
  t.mock.method(performance, 'now', () => nowMs);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const members = new Members('b', SILENT, new Queue(), { probe: () => new Promise(() => {}) });
  t.after(() => members.close());
  members.plan(TWO).commit();
  const [, s2] = members.servers;
  members.plan(ONE).commit();
  nowMs += 59_000;
  members.forget(60_000, () => false);
  members.plan(TWO).commit();
  assert.equal(members.servers[1], s2);
  members.plan(ONE).commit();
  nowMs += 60_000;
  members.forget(60_000, () => false);
  members.plan(TWO).commit();
  assert.notEqual(members.servers[1], s2, 'after exactly as long as it is kept');
});
