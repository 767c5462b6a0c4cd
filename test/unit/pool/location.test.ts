/** Where a server is: what each answer of its name means, and which of its addresses is in use. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Location, type Arrival } from '../../../src/pool/location.ts';
import { settled } from '../../support/pool.ts';

/** A location whose names are answered from `names`; a name that is not there does not resolve. */
function located(t: TestContext, names: Record<string, string[]>) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const told: Arrival[] = [];
  const location = new Location(
    (arrival) => void told.push(arrival),
    async (name) => names[name] ?? Promise.reject(new Error('no such name')),
  );
  t.after(() => location.close());
  const pass = async (ms: number): Promise<void> => {
    t.mock.timers.tick(ms);
    await settled();
  };
  return { location, told, pass };
}

const FOUND: Arrival = { kind: 'found', moved: false };
const MOVED: Arrival = { kind: 'found', moved: true };
const LOST: Arrival = { kind: 'lost', failure: 'no such name' };
const port = 5000;

test('nothing is known before the first answer', (t) => {
  const { location, told } = located(t, {});
  assert.deepEqual([location.endpoint, location.has({ host: '10.0.0.1', port: 0 }), told], [undefined, false, []]);
});

test('the first good answer is told, and none after it', async (t) => {
  const names: Record<string, string[]> = {};
  const { location, told, pass } = located(t, names);
  await location.find({ host: 'r', port }, 10_000);
  assert.deepEqual([told, location.endpoint], [[LOST], undefined]);
  names['r'] = ['10.0.0.1', '10.0.0.2'];
  await pass(2_000);
  assert.deepEqual([told, location.endpoint], [[LOST, FOUND], { host: '10.0.0.1', port }]);
  delete names['r'];
  await pass(10_000);
  names['r'] = ['10.0.0.2', '10.0.0.1'];
  await pass(2_000);
  assert.deepEqual([told.length, location.endpoint], [2, { host: '10.0.0.1', port }], 'still an answer, so it stays');
  names['r'] = ['10.0.0.3', '10.0.0.2'];
  await pass(10_000);
  assert.deepEqual([told.length, location.endpoint], [2, { host: '10.0.0.3', port }]);
});

test('another name or port is a move, to its first address, also where the former one is among its addresses', async (t) => {
  const { location, told } = located(t, { a: ['10.0.0.1'], b: ['10.0.0.2', '10.0.0.1'] });
  await location.find({ host: 'a', port }, 10_000);
  const found = location.find({ host: 'b', port: 5001 }, 10_000);
  assert.deepEqual(location.endpoint, { host: '10.0.0.1', port }, 'the former one until the new one is known');
  await found;
  assert.deepEqual([told, location.endpoint], [[FOUND, MOVED], { host: '10.0.0.2', port: 5001 }]);
});

test('a new name that does not resolve leaves no address', async (t) => {
  const { location, told } = located(t, { a: ['10.0.0.1'] });
  await location.find({ host: 'a', port }, 10_000);
  await location.find({ host: 'b', port }, 10_000);
  assert.deepEqual([told, location.endpoint], [[FOUND, LOST], undefined]);
});

test('another interval is no move, and tells nothing', async (t) => {
  const { location, told } = located(t, { a: ['10.0.0.1'] });
  await location.find({ host: 'a', port }, 10_000);
  await location.retime({ host: 'a', port }, 1_000);
  assert.deepEqual([told, location.endpoint], [[FOUND], { host: '10.0.0.1', port }]);
});

test('a server has all the addresses of its name, at its port', async (t) => {
  const { location } = located(t, { a: ['10.0.0.1', '10.0.0.2'] });
  await location.find({ host: 'a', port }, 10_000);
  const has = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((host) => location.has({ host, port }));
  assert.deepEqual([...has, location.has({ host: '10.0.0.1', port: 5001 })], [true, true, false, false]);
});

test('the address in use is left for the next, after the last for the first; another one is not left', async (t) => {
  const { location } = located(t, { a: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] });
  await location.find({ host: 'a', port }, 10_000);
  const used: (string | undefined)[] = [];
  for (const host of ['10.0.0.2', '10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3']) {
    location.leave(host);
    used.push(location.endpoint?.host);
  }
  assert.deepEqual(used, ['10.0.0.1', '10.0.0.2', '10.0.0.2', '10.0.0.3', '10.0.0.1']);
});

test('a name with a single address keeps it', async (t) => {
  const { location } = located(t, { a: ['10.0.0.1'] });
  await location.find({ host: 'a', port }, 10_000);
  location.leave('10.0.0.1');
  location.leave('10.0.0.2');
  assert.deepEqual(location.endpoint, { host: '10.0.0.1', port });
});

test('what was forgotten is found anew, and is no move', async (t) => {
  const { location, told } = located(t, { a: ['10.0.0.1'] });
  await location.find({ host: 'a', port }, 10_000);
  location.forget();
  assert.deepEqual([location.endpoint, location.has({ host: '10.0.0.1', port })], [undefined, false]);
  await location.find({ host: 'a', port }, 10_000);
  assert.deepEqual([told, location.endpoint], [[FOUND, FOUND], { host: '10.0.0.1', port }]);
});
