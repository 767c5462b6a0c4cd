/** What DNS says of the servers there are, asked of a resolver whose answers stand in tables. */
import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { test, type TestContext } from 'node:test';
import { askDns } from '../../../src/pool/discovery.ts';

type Records = readonly { readonly address: string; readonly ttl: number }[];
/** The answer for a name; a text is the code of an error. A name that is not here does not exist. */
type Table<T> = Readonly<Record<string, T | string>>;

function answer(t: TestContext, tables: { a?: Table<Records>; aaaa?: Table<Records>; srv?: Table<object[]> }): void {
  const from =
    <T>(table: Table<T> = {}, options?: object) =>
    async (name: string, asked?: object): Promise<T> => {
      assert.deepEqual(asked, options);
      const found = table[name] ?? 'ENOTFOUND';
      if (typeof found === 'string') throw Object.assign(new Error(found), { code: found });
      return found;
    };
  t.mock.method(Resolver.prototype, 'resolve4', from(tables.a, { ttl: true }));
  t.mock.method(Resolver.prototype, 'resolve6', from(tables.aaaa, { ttl: true }));
  t.mock.method(Resolver.prototype, 'resolveSrv', from(tables.srv));
}

const askName = () => askDns({ discover: 'dns', name: 'r.test', port: 5000 });
const askService = () => askDns({ discover: 'srv', name: '_r._tcp.test' });
const found = (host: string, port = 5000, name = 'r.test') => ({ host, port, name });
const V4 = [{ address: '10.0.0.1', ttl: 20 }];
const V6 = [{ address: 'fd00::1', ttl: 10 }];

test('a name is all its addresses, IPv4 first, for as long as the shortest time to live', async (t) => {
  answer(t, { a: { 'r.test': [...V4, { address: '10.0.0.2', ttl: 30 }] }, aaaa: { 'r.test': V6 } });
  assert.deepEqual(await askName(), {
    endpoints: [found('10.0.0.1'), found('10.0.0.2'), found('fd00::1')],
    ttlSeconds: 10,
    unanswered: [],
  });
});

test('a name without an address in a family has none there; a family that was not answered for is named', async (t) => {
  for (const code of ['ENODATA', 'ENOTFOUND']) {
    answer(t, { a: { 'r.test': V4 }, aaaa: { 'r.test': code } });
    assert.deepEqual(await askName(), { endpoints: [found('10.0.0.1')], ttlSeconds: 20, unanswered: [] });
    answer(t, { a: { 'r.test': code }, aaaa: { 'r.test': V6 } });
    assert.deepEqual(await askName(), { endpoints: [found('fd00::1')], ttlSeconds: 10, unanswered: [] });
  }
  answer(t, { a: { 'r.test': 'ESERVFAIL' }, aaaa: { 'r.test': V6 } });
  assert.deepEqual((await askName()).unanswered, [{ name: 'r.test', port: 5000, family: 4 }]);
  answer(t, { a: { 'r.test': V4 }, aaaa: { 'r.test': 'ETIMEOUT' } });
  assert.deepEqual((await askName()).unanswered, [{ name: 'r.test', port: 5000, family: 6 }]);
});

test('without an answer in either family the fault is told, not the family that has no address', async (t) => {
  for (const [four, six, told] of [
    ['ENODATA', 'ESERVFAIL', 'ESERVFAIL'],
    ['ETIMEOUT', 'ENODATA', 'ETIMEOUT'],
    ['ENOTFOUND', 'ENODATA', 'ENODATA'],
  ] as const) {
    answer(t, { a: { 'r.test': four }, aaaa: { 'r.test': six } });
    await assert.rejects(askName(), { code: told });
  }
});

test('a service is the addresses of its targets, each with the port of its target', async (t) => {
  answer(t, {
    srv: {
      '_r._tcp.test': [
        { name: 'a.test', port: 5001 },
        { name: 'b.test', port: 5002 },
      ],
    },
    a: { 'a.test': V4, 'b.test': [{ address: '10.0.0.2', ttl: 5 }] },
    aaaa: { 'a.test': 'ESERVFAIL' },
  });
  assert.deepEqual(await askService(), {
    endpoints: [found('10.0.0.1', 5001, 'a.test'), found('10.0.0.2', 5002, 'b.test')],
    ttlSeconds: 5,
    unanswered: [{ name: 'a.test', port: 5001, family: 6 }],
  });
});

test('a target without an address keeps no other away; a target that could not be asked for fails the answer', async (t) => {
  const targets = ['a.test', 'b.test'].map((name) => ({ name, port: 5001 }));
  answer(t, { srv: { '_r._tcp.test': targets }, a: { 'a.test': V4 } });
  const endpoints = [found('10.0.0.1', 5001, 'a.test')];
  assert.deepEqual(await askService(), { endpoints, ttlSeconds: 20, unanswered: [] });
  answer(t, { srv: { '_r._tcp.test': targets }, a: { 'a.test': V4, 'b.test': 'ESERVFAIL' } });
  await assert.rejects(askService(), { code: 'ESERVFAIL' });
  await assert.rejects(askDns({ discover: 'srv', name: 'no.test' }), { code: 'ENOTFOUND' });
});

test('a question that is no longer wanted is cancelled, and a signal is not held after the answer', async (t) => {
  const closed = new AbortController();
  let ask!: (error: Error) => void;
  const never = new Promise<never>((_, reject) => (ask = reject));
  t.mock.method(Resolver.prototype, 'resolve4', () => never);
  t.mock.method(Resolver.prototype, 'resolve6', () => never);
  const cancel = t.mock.method(Resolver.prototype, 'cancel', () =>
    ask(Object.assign(new Error('cancelled'), { code: 'ECANCELLED' })),
  );
  const answered = askDns({ discover: 'dns', name: 'r.test', port: 5000 }, closed.signal);
  closed.abort();
  await assert.rejects(answered, { code: 'ECANCELLED' });
  assert.equal(cancel.mock.callCount(), 1);

  answer(t, { a: { 'r.test': V4 } });
  const later = new AbortController();
  await askDns({ discover: 'dns', name: 'r.test', port: 5000 }, later.signal);
  later.abort();
  assert.equal(cancel.mock.callCount(), 1);
});
