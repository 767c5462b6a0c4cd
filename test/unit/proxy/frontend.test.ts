/** Who is let in, and under which terms a connection is served to its end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { folderOf } from '../../support/files.ts';
import { Peer } from '../../support/peer.ts';
import { ProxyStand } from '../../support/proxy-stand.ts';

for (const [what, options, reason] of [
  ['the process has room for', { capacity: 2 }, 'open_files'],
  ['`maxConnections` says', { frontend: { maxConnections: 2 } }, 'max_connections'],
] as const) {
  test(`as many connections stand as ${what}; another is reset, and has a place when one has ended`, async (t) => {
    const stand = await ProxyStand.open(t, options);
    const first = await stand.join();
    await stand.join();
    for (let more = 1; more <= 2; more++) {
      const refused = await stand.arrive();
      assert.equal(await stand.refusal(more), reason);
      assert.equal(await refused.isClosed(), 'ECONNRESET');
    }
    assert.deepEqual([stand.frontend.connections, stand.frontend.accepted, stand.records.length], [2, 4, 0]);
    first.client.reset();
    await stand.record();
    await stand.accepts(1);
    await stand.join();
    assert.equal(stand.frontend.connections, 2);
  });
}

test('a connection that still looks for its server has a place too', async (t) => {
  const stand = await ProxyStand.open(t, { capacity: 1, frontend: { acceptProxy: ['127.0.0.0/8'] } });
  await stand.arrive();
  await stand.accepts(1);
  await stand.arrive();
  assert.equal(await stand.refusal(), 'open_files');
  assert.equal(stand.occupancy.connections, 1);
});

test('other limits count from the next connection on, and turn nobody out', async (t) => {
  const stand = await ProxyStand.open(t);
  await stand.join();
  const { client, server } = await stand.join();
  stand.serve({ frontend: { maxConnections: 1 } });
  await stand.arrive();
  assert.equal(await stand.refusal(), 'max_connections');
  stand.serve({ frontend: { maxConnections: 3 } });
  await stand.join();
  client.socket.write('still here');
  await server.gets(10);
  assert.equal(stand.frontend.connections, 3);
});

for (const [before, after] of [
  ['1h', '1s'],
  ['1s', '1h'],
] as const) {
  test(`a connection keeps the idle time that it began under: ${before}, not ${after}`, async (t) => {
    const stand = await ProxyStand.open(t, { timeouts: { idle: before } });
    const first = await stand.join();
    await stand.hears('connected s1', 1);
    stand.serve({ timeouts: { idle: after } });
    const second = await stand.join();
    await stand.hears('connected s1', 2);
    stand.frontend.sweep(performance.now() + 2_000);
    const { end, client } = await stand.record();
    const [ended, left] = before === '1s' ? [first, second] : [second, first];
    assert.deepEqual([end, client], ['cD', `127.0.0.1:${ended.client.socket.localPort}`]);
    left.client.socket.write('x');
    await left.server.gets(1);
    assert.equal(stand.frontend.connections, 1);
  });
}

test('a connection half of which has finished is idle by the shorter timeout that it began under', async (t) => {
  const stand = await ProxyStand.open(t, { timeouts: { idle: '1h', halfClosed: '1s' } });
  const { client, server } = await stand.join();
  client.end();
  await server.getsEnd();
  stand.serve({ timeouts: { idle: '1h', halfClosed: '1h' } });
  // The first sweep sees the end, from which the time runs.
  stand.frontend.sweep(performance.now());
  stand.frontend.sweep(performance.now() + 2_000);
  assert.equal((await stand.record()).end, 'sD');
});

test('a sweep brings the counters of servers up to date, and the end does the rest, each byte once', async (t) => {
  const stand = await ProxyStand.open(t);
  const { client, server } = await stand.join();
  client.socket.write('12345');
  await server.gets(5);
  server.socket.write('123');
  await client.gets(3);
  const { traffic } = stand.server();
  for (let sweep = 0; sweep < 2; sweep++) {
    stand.frontend.sweep(performance.now());
    assert.deepEqual([traffic.in, traffic.out], [5, 3]);
  }
  client.socket.write('67');
  await server.gets(7);
  await stand.isEmpty();
  const record = await stand.record();
  assert.deepEqual([traffic.in, traffic.out, record.in, record.out], [7, 3, 7, 3]);
});

test('the account of a client hears of each connection, and of each byte once', async (t) => {
  const stand = await ProxyStand.open(t);
  const [one, two] = [await stand.join('127.0.0.5'), await stand.join('127.0.0.5')];
  const account = stand.accounts.get('127.0.0.5');
  assert.equal(account?.open, 2);
  one.client.socket.write('12345');
  await one.server.gets(5);
  two.server.socket.write('123');
  await two.client.gets(3);
  for (let sweep = 0; sweep < 2; sweep++) {
    stand.frontend.sweep(performance.now());
    assert.deepEqual([account?.in, account?.out], [5, 3]);
  }
  one.client.socket.write('67');
  await one.server.gets(7);
  await stand.isEmpty();
  assert.deepEqual(account, { joined: ['s1', 's1'], in: 7, out: 3, open: 0 });
});

test('a connection that reaches no server comes and goes in the account of its client', async (t) => {
  const stand = await ProxyStand.open(t, { backend: { servers: { s1: { weight: 0 } } } });
  const client = await stand.arrive('127.0.0.5');
  await client.isClosed();
  assert.equal((await stand.record()).end, 'SC');
  assert.deepEqual(stand.accounts.get('127.0.0.5'), { joined: [], in: 0, out: 0, open: 0 });
});

test('connections have numbers, and say how they stand; one of them is ended', async (t) => {
  const stand = await ProxyStand.open(t);
  const { client, server } = await stand.join('127.0.0.5');
  const other = await stand.join('127.0.0.6');
  client.socket.write('12345');
  await server.gets(5);
  const [first, second] = [...stand.frontend.standing];
  assert.deepEqual([first?.id, second?.id, stand.frontend.connection(1)], [1, 2, first]);
  const startedMs = first?.standing.startedMs ?? 0;
  stand.frontend.sweep(startedMs + 1_000);
  const { from, movedMs, perSecond, ...rest } = first!.standing;
  assert.deepEqual(rest, {
    id: 1,
    frontend: 'f',
    backend: 'b',
    server: 's1',
    client: `127.0.0.5:${client.socket.localPort}`,
    key: '127.0.0.5',
    sni: undefined,
    phase: 'D',
    startedMs,
    in: 5,
    out: 0,
  });
  assert.match(String(from), /^127\.0\.0\.1:\d+$/);
  assert.ok(movedMs >= startedMs && perSecond.in > 0 && perSecond.out === 0, JSON.stringify({ movedMs, perSecond }));
  for (let sweep = 2; sweep <= 60; sweep++) stand.frontend.sweep(startedMs + sweep * 1_000);
  assert.deepEqual(first!.standing.perSecond, { in: 0, out: 0 }, 'what is idle has no rate');
  first!.kill('K');
  assert.equal((await stand.record()).end, 'KD');
  assert.equal(stand.frontend.connection(1), undefined);
  other.client.socket.write('!');
  await other.server.gets(1);
  server.socket.destroy();
});

test('whether a client would be let in is told without letting it in', async (t) => {
  const stand = await ProxyStand.open(t, {
    frontend: { maxConnections: 1, deny: ['10.0.0.1'], acceptProxy: ['10.0.0.2', '10.0.0.1'] },
  });
  const { frontend } = stand;
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(frontend.judge('10.0.0.1'), { refusal: 'denied', mustAdvertise: true });
    assert.deepEqual(frontend.judge('10.0.0.2'), { refusal: undefined, mustAdvertise: true });
    assert.deepEqual(frontend.judge('10.0.0.3'), { refusal: undefined, mustAdvertise: false });
  }
  await stand.join();
  assert.equal(frontend.judge('10.0.0.3')?.refusal, 'max_connections');
});

test('a connection that was reset before it was accepted is nobody’s: no record, no place', async (t) => {
  const stand = await ProxyStand.open(t);
  const socket = new Socket();
  stand.frontend.accept(socket, false);
  assert.ok(socket.destroyed);
  assert.deepEqual([stand.frontend.connections, stand.occupancy.connections, stand.frontend.accepted], [0, 0, 1]);
});

test('a client of a unix socket has no address: no binding, no rule for it, and `unix` in its record', async (t) => {
  const stand = await ProxyStand.open(t, {
    frontend: { acceptProxy: ['0.0.0.0/0', '::/0'], allow: ['192.0.2.0/24'], perSource: { connections: 1 } },
    backend: { sendProxy: 'v1' },
  });
  const path = join(folderOf(t), 'f.sock');
  const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
    stand.frontend.accept(socket, true),
  );
  listener.listen(path);
  await once(listener, 'listening');
  const clients = [connect(path), connect(path)].map((socket) => new Peer(socket));
  const header = 'PROXY UNKNOWN\r\n';
  for (const _ of clients) await (await stand.served()).gets(header.length);
  assert.equal(stand.backend.table?.entries, 0);
  for (const { socket } of clients) socket.destroy();
  await stand.isEmpty();
  listener.close();
  assert.deepEqual((await stand.record(2), stand.records.map(({ client }) => client)), ['unix', 'unix']);
});

test('a frontend is empty when its last connection has ended, or at once where there is none', async (t) => {
  const stand = await ProxyStand.open(t);
  await stand.frontend.empty();
  const { client } = await stand.join();
  await stand.join();
  let empty = false;
  const emptied = stand.frontend.empty().then(() => (empty = true));
  client.reset();
  await stand.record();
  await stand.accepts(1);
  assert.equal(empty, false);
  stand.frontend.killAll();
  await emptied;
  assert.equal(stand.frontend.connections, 0);
});
