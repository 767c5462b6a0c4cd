/** One client that has most connections may be many, behind a NAT. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recent } from '../../../src/clients/recent.ts';
import { Sessions } from '../../../src/clients/sessions.ts';
import { Counts } from '../../../src/counts.ts';
import { StickTable } from '../../../src/pool/stick-table.ts';
import { reports } from '../../../src/reports.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { writtenLog } from '../../support/written-log.ts';

function opened(clients: Readonly<Record<string, number>>): StickTable<object> {
  const table = new StickTable<object>({ size: 9, expireMs: 1_000 });
  for (const [client, times] of Object.entries(clients)) for (let i = 0; i < times; i++) table.open(client);
  return table;
}

test('the client with more than half of many connections is known, while it has them', () => {
  const table = opened({ a: 20, b: 30, c: 51 });
  assert.deepEqual(table.crowd.now, { client: 'c', connections: 51, of: 101 });
  table.close('c');
  assert.equal(table.crowd.now, undefined, '50 of 100 are not more than half');
  for (let i = 0; i < 20; i++) table.close('a');
  assert.equal(table.crowd.now, undefined, '80 connections are too few to tell');
  for (let i = 0; i < 30; i++) table.open('b');
  assert.deepEqual(table.crowd.now, { client: 'b', connections: 60, of: 110 });
});

test('where few are connected, or none has more than half, no client stands out', () => {
  assert.equal(opened({ a: 99 }).crowd.now, undefined);
  assert.equal(opened({ a: 60, b: 60 }).crowd.now, undefined);
  const left = opened({ a: 100 });
  for (let i = 0; i < 100; i++) left.close('a');
  assert.equal(left.crowd.now, undefined);
});

test('the busiest client of each server is known, while it has connections and is bound there', () => {
  const [one, two] = [{}, {}];
  const table = opened({});
  const open = (client: string, server: object, times: number): void => {
    for (let i = 0; i < times; i++) {
      table.open(client);
      table.bind(client, server);
    }
  };
  open('a', one, 5);
  open('b', one, 3);
  open('c', two, 2);
  assert.deepEqual(
    [one, two].map((server) => table.crowd.busiest(server)),
    [5, 2],
  );
  for (let i = 0; i < 4; i++) table.close('a');
  open('b', one, 1);
  assert.equal(table.crowd.busiest(one), 4, 'b is busier than a since a connection of b was opened');
  table.bind('b', two);
  assert.equal(table.crowd.busiest(one), 0, 'b has left for two');
  open('b', two, 1);
  assert.deepEqual(
    [one, two].map((server) => table.crowd.busiest(server)),
    [0, 5],
  );
  for (let i = 0; i < 5; i++) table.close('b');
  assert.equal(table.crowd.busiest(two), 0, 'b has no connection any more');
});

test('the backend tells of such a client when it begins to stand out, not each second', async (t) => {
  const scene = new Scene(t);
  await scene.commit(backendConfig({ healthCheck: false, servers: { s1: '127.0.0.1:1' } }));
  const stays = Array.from({ length: 100 }, () => scene.backend.open('10.0.0.7'));
  await scene.pass(5_000);
  const told = (): string[] => scene.told.filter((one) => one.startsWith('crowd'));
  assert.deepEqual(told(), ['crowd 10.0.0.7']);
  stays.pop()?.close();
  await scene.pass(1_000);
  stays.push(scene.backend.open('10.0.0.7'));
  await scene.pass(1_000);
  assert.deepEqual(told(), ['crowd 10.0.0.7', 'crowd 10.0.0.7']);
});

test('the log says so once an hour for each client', (t) => {
  let nowMs = 1;
  t.mock.method(performance, 'now', () => nowMs);
  const said: unknown[] = [];
  const { log } = writtenLog();
  log.subscribe(({ line }) => said.push((JSON.parse(line) as { client: string }).client));
  const observer = reports({
    log,
    counts: new Counts(),
    sessions: new Sessions(() => {}),
    recent: new Recent(),
    logConnections: () => true,
    serverDown() {},
  });
  const tell = (client: string): void => observer.clientCrowds('b', { client, connections: 60, of: 100 });
  for (const client of ['a', 'a', 'b', 'a']) tell(client);
  assert.deepEqual(said, ['a', 'b']);
  nowMs += 60 * 60_000 + 1;
  tell('a');
  assert.deepEqual(said, ['a', 'b', 'a']);
});
