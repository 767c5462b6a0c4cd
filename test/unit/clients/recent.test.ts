import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recent } from '../../../src/clients/recent.ts';
import type { ConnectionRecord } from '../../../src/proxy/record.ts';

const record = (client: string, from: string | undefined): ConnectionRecord => ({
  frontend: 'f',
  backend: 'b',
  server: 's1',
  client,
  sni: undefined,
  from,
  via: 'balanced',
  retries: 0,
  in: 1,
  out: 2,
  connectMs: 1,
  queueMs: 0,
  sharedMs: undefined,
  durationMs: 5,
  end: '--',
});

const clients = (recent: Recent, from: string): string[] => recent.from(from).map(({ record: { client } }) => client);

test('the last connections are found by the address that their server saw, the latest first', () => {
  const recent = new Recent(4);
  recent.add(record('a', '127.0.0.1:1'));
  recent.add(record('b', '127.0.0.1:2'));
  recent.add(record('c', '127.0.0.1:1'));
  assert.deepEqual(clients(recent, '127.0.0.1:1'), ['c', 'a']);
  assert.deepEqual(clients(recent, '127.0.0.1:3'), []);
  recent.add(record('d', '127.0.0.1:4'));
  recent.add(record('e', '127.0.0.1:5'));
  assert.deepEqual(clients(recent, '127.0.0.1:1'), ['c'], 'the oldest made room');
  assert.deepEqual(clients(recent, '127.0.0.1:5'), ['e']);
});

test('a connection that reached no server takes no place', () => {
  const recent = new Recent(2);
  recent.add(record('a', '127.0.0.1:1'));
  for (let i = 0; i < 9; i++) recent.add(record('nobody', undefined));
  assert.deepEqual(clients(recent, '127.0.0.1:1'), ['a']);
});

test('ten thousand connections are remembered, with when they ended', (t) => {
  t.mock.method(Date, 'now', () => 1_700_000_000_000);
  const recent = new Recent();
  recent.add(record('a', '[::1]:1'));
  for (let i = 0; i < 9_999; i++) recent.add(record('other', '[::1]:2'));
  assert.deepEqual(recent.from('[::1]:1'), [{ record: record('a', '[::1]:1'), endedMs: 1_700_000_000_000 }]);
  recent.add(record('other', '[::1]:2'));
  assert.deepEqual(recent.from('[::1]:1'), []);
  assert.equal(recent.from('[::1]:2').length, 10_000);
});
