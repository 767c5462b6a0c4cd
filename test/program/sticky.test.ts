import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { noIpv6 } from '../support/able.ts';
import { start, type Berth } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';

const NAMES = ['s1', 's2', 's3', 's4'];

const table = (what: string): string => `berth_stick_table_${what}{backend="b"}`;
const portOf = (address: string): number => Number(/\d+$/.exec(address)?.[0]);

/** A client that visits from `from` on the only port there is. */
async function from(berth: Berth, address: string) {
  return visit(berth, { port: await berth.port(), from: address });
}

test('four clients are given four servers, in turn', async (t) => {
  const servers = await serve(t, NAMES);
  const berth = await start(t, settings(servers));
  const lines = [];
  for (const last of [1, 2, 3, 4, 5]) lines.push(await from(berth, `127.0.1.${last}`));
  assert.deepEqual(
    lines.map(({ answered }) => answered),
    ['s1', 's2', 's3', 's4', 's1'],
  );
  for (const line of lines) {
    assert.equal(line['via'], 'balanced');
    assert.equal(line['server'], line.answered, 'the log names the server that answered');
  }
});

test('a client that returns is given its server again, whoever came between', async (t) => {
  const servers = await serve(t, NAMES);
  const berth = await start(t, settings(servers));
  const first = await from(berth, '127.0.2.1');
  for (let round = 2; round < 7; round++) {
    await from(berth, `127.0.2.${round}`);
    const again = await from(berth, '127.0.2.1');
    assert.equal(again.answered, first.answered);
    assert.equal(again['via'], 'stuck');
  }
  assert.equal(await berth.metric(table('hits_total')), 5);
  assert.equal(await berth.metric(table('misses_total')), 6);
  assert.equal(await berth.metric(table('entries')), 6);
  assert.equal(await berth.metric(table('moves_total')), 0);
});

test('parallel first connections of one client all go to one server, in 100 of 100 bursts', async (t) => {
  const servers = await serve(t, NAMES);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  const chosen: string[] = [];
  let split = 0;
  for (let burst = 0; burst < 100; burst++) {
    const clients = Array.from({ length: 8 }, () => new Client({ port, from: `127.3.${burst}.1` }));
    const answers = new Set(await Promise.all(clients.map((client) => client.line())));
    if (answers.size > 1) split++;
    chosen.push(...answers);
    await Promise.all(clients.map((client) => client.finish()));
  }
  assert.equal(split, 0);
  for (const name of NAMES) assert.equal(chosen.filter((one) => one === name).length, 25, name);
  const lines = await berth.connections(800);
  assert.equal(lines.filter(({ via }) => via === 'balanced').length, 100);
  assert.equal(lines.filter(({ via }) => via === 'stuck').length, 700);
});

test('an IPv4 client of a dual-stack bind is the same client as on an IPv4 bind', { skip: noIpv6() }, async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, {}, {}, { bind: ['*:0', '127.0.0.1:0'] });
  const berth = await start(t, config);
  const [dual = '', plain = ''] = await berth.addresses();
  assert.match(dual, /^\[::\]:\d+$/);
  const first = await visit(berth, { port: portOf(dual), from: '127.0.3.1' });
  assert.match(String(first['client']), /^127\.0\.3\.1:\d+$/);
  const second = await visit(berth, { port: portOf(plain), from: '127.0.3.1' });
  assert.equal(second.answered, first.answered);
  assert.equal(second['via'], 'stuck');
  assert.equal(await berth.metric(table('entries')), 1);
  const six = await visit(berth, { port: portOf(dual), host: '::1' });
  assert.match(String(six['client']), /^\[::1\]:\d+$/);
  assert.equal(six['via'], 'balanced', '::1 is another client');
});

test('a prefix makes the addresses of one network one client', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: { prefix: { ipv4: 24 } } });
  const berth = await start(t, config);
  const first = await from(berth, '127.0.5.1');
  const neighbour = await from(berth, '127.0.5.2');
  assert.equal(neighbour.answered, first.answered);
  assert.equal(neighbour['via'], 'stuck');
  assert.match(String(neighbour['client']), /^127\.0\.5\.2:/, 'the log has the whole address');
  assert.equal((await from(berth, '127.0.6.1'))['via'], 'balanced');
});

test('a full table evicts the client that was away longest', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: { size: 2 } });
  const berth = await start(t, config);
  for (const last of [1, 2, 1, 3]) await from(berth, `127.0.7.${last}`);
  assert.equal(await berth.metric(table('size')), 2);
  assert.equal(await berth.metric(table('entries')), 2);
  assert.equal(await berth.metric(table('evictions_total')), 1);
  assert.equal((await from(berth, '127.0.7.1'))['via'], 'stuck', 'it had been used again');
  assert.equal((await from(berth, '127.0.7.2'))['via'], 'balanced');
});

test('a full table never evicts a client that has a connection open', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: { size: 2 } });
  const berth = await start(t, config);
  const held = new Client({ port: await berth.port(), from: '127.0.8.1' });
  const server = await held.line();
  for (const last of [2, 3, 4, 5]) await from(berth, `127.0.8.${last}`);
  const again = await from(berth, '127.0.8.1');
  assert.equal(again['via'], 'stuck');
  assert.equal(again.answered, server);
  assert.equal(await berth.metric(table('evictions_total')), 3);
  await held.finish();
});

test('a binding expires when its client has been away for long enough', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: { expire: '200ms' } });
  const berth = await start(t, config);
  await from(berth, '127.0.9.1');
  await berth.metricIs(table('expirations_total'), 1);
  assert.equal(await berth.metric(table('entries')), 0);
  assert.equal(await berth.metric('berth_server_stick_entries{backend="b",server="s1"}'), 0);
  const again = await from(berth, '127.0.9.1');
  assert.equal(again['via'], 'balanced');
  assert.equal(again.answered, 's2', 'it is a new client');
});

test('a binding does not expire while its client has a connection open', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: { expire: '200ms' } });
  const berth = await start(t, config);
  const held = new Client({ port: await berth.port(), from: '127.0.10.1' });
  const server = await held.line();
  await from(berth, '127.0.10.2');
  await berth.metricIs(table('expirations_total'), 1);
  const again = await from(berth, '127.0.10.1');
  assert.equal(again['via'], 'stuck');
  assert.equal(again.answered, server);
  await held.finish();
  await berth.metricIs(table('expirations_total'), 2);
});

test('each match starts the time of a binding anew', async (t) => {
  const servers = await serve(t, NAMES);
  const expireMs = 3_000;
  const config = settings(servers, { stickTable: { expire: `${expireMs}ms` } });
  const berth = await start(t, config);
  const expired = async (): Promise<number> => (await berth.metric(table('expirations_total'))) ?? 0;
  // On a machine that stalls for longer than `expire` the client was away, and the round says nothing.
  for (let round = 1; ; round++) {
    const before = await expired();
    let lastSeenMs = performance.now();
    let longestGapMs = 0;
    const first = await from(berth, `127.0.11.${round}`);
    await from(berth, `127.0.12.${round}`);
    let stuck = true;
    while ((await expired()) === before) {
      stuck &&= (await from(berth, `127.0.11.${round}`)).answered === first.answered;
      longestGapMs = Math.max(longestGapMs, performance.now() - lastSeenMs);
      lastSeenMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const last = await from(berth, `127.0.11.${round}`);
    longestGapMs = Math.max(longestGapMs, performance.now() - lastSeenMs);
    if (longestGapMs > expireMs / 2 && round < 5) continue;
    assert.equal(stuck, true);
    assert.equal(last['via'], 'stuck', 'the client that kept coming is known, the one that did not has expired');
    return;
  }
});

test('without a stick table the connections of one client go to the servers in turn', async (t) => {
  const servers = await serve(t, NAMES);
  const config = settings(servers, { stickTable: false });
  const berth = await start(t, config);
  const answers = [];
  for (let i = 0; i < 8; i++) answers.push((await from(berth, '127.0.13.1')).answered);
  assert.deepEqual(answers, [...NAMES, ...NAMES]);
  const { text } = await berth.get('/metrics');
  assert.doesNotMatch(text, /^berth_stick_table_\w+\{/m);
});

test('clients of a unix socket are served in turn, and none of them is known', async (t) => {
  const servers = await serve(t, NAMES);
  const path = join('/tmp', `berth-sticky-${process.pid}.sock`);
  const config = settings(servers, {}, {}, { bind: `unix:${path}` });
  const berth = await start(t, config);
  assert.deepEqual(await berth.addresses(), [`unix:${path}`]);
  for (const name of NAMES) {
    const line = await visit(berth, { path });
    assert.equal(line.answered, name);
    assert.equal(line['client'], 'unix');
    assert.equal(line['via'], 'balanced');
  }
  assert.equal(await berth.metric(table('entries')), 0);
});

test(
  'a frontend with several binds serves at each of them, and knows its clients at all',
  { skip: noIpv6() },
  async (t) => {
    const servers = await serve(t, NAMES);
    const config = settings(servers, {}, {}, { bind: ['127.0.0.1:0', '127.0.0.2:0', '[::1]:0'] });
    const berth = await start(t, config);
    const [one = '', two = '', six = ''] = await berth.addresses();
    assert.match(two, /^127\.0\.0\.2:\d+$/);
    assert.match(six, /^\[::1\]:\d+$/);
    const first = await visit(berth, { port: portOf(one), from: '127.0.14.1' });
    const second = await visit(berth, { port: portOf(two), host: '127.0.0.2', from: '127.0.14.1' });
    assert.equal(second['via'], 'stuck');
    assert.equal(second.answered, first.answered);
    const third = await visit(berth, { port: portOf(six), host: '::1' });
    assert.match(String(third['client']), /^\[::1\]:\d+$/);
    assert.equal((await visit(berth, { port: portOf(six), host: '::1' })).answered, third.answered);
  },
);
