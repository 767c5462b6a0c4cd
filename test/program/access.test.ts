/** Who may connect, and how often, in the running program; the rules by themselves are in test/unit/proxy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { noIpv6 } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { reload } from '../support/operator.ts';
import { refusing, serve } from '../support/servers.ts';
import { settings, type Given, type Settings } from '../support/settings.ts';

const refused = (reason: string): string => `berth_frontend_refused_total{frontend="f",reason="${reason}"}`;
const frontend = (rules: object, server: Given): Settings =>
  settings([server], { healthCheck: false, retries: 0 }, {}, rules);

test('whoever is not to come in is reset before a server is looked for, and counted by the reason', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = { allow: ['127.30.0.0/15', '::1'], deny: ['127.31.7.0/24'] };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  for (const from of ['127.30.0.1', '127.31.8.1']) assert.equal((await visit(berth, { port, from })).answered, 's1');
  for (const from of ['127.31.7.1', '127.31.7.255', '127.32.0.1']) {
    assert.equal(await new Client({ port, from }).ended, 'reset', from);
  }
  assert.equal(s1?.accepted, 2);
  assert.equal(await berth.metric(refused('denied')), 2);
  assert.equal(await berth.metric(refused('not_allowed')), 1);
  assert.equal(await berth.metric('berth_stick_table_entries{backend="b"}'), 2);
});

test('on a dual-stack bind an IPv4 client is judged as IPv4', { skip: noIpv6() }, async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, frontend({ bind: '*:0', allow: ['127.0.0.0/8'] }, s1!));
  const port = await berth.port();
  assert.equal((await visit(berth, { port, host: '127.0.0.1' })).answered, 's1');
  assert.equal(await new Client({ port, host: '::1' }).ended, 'reset');
  await reload(berth, frontend({ bind: '*:0', deny: ['127.0.0.1'] }, s1!));
  assert.equal((await visit(berth, { port, host: '::1' })).answered, 's1');
  assert.equal(await new Client({ port, host: '127.0.0.1' }).ended, 'reset');
});

test('where PROXY is accepted the rules are for the advertised address, the list of proxies for the peer', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = {
    acceptProxy: ['127.40.0.0/16'],
    allow: ['192.0.2.0/24', '127.42.0.0/16'],
    deny: ['192.0.2.66'],
    perSource: { connections: 1 },
  };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  const advertised = (address: string, from: string): Client => {
    const client = new Client({ port, from });
    const destination = { address: '198.51.100.1', port: 443 };
    client.socket.write(buildProxyHeader('v2', { address, port: 50_000 }, destination));
    return client;
  };
  const anna = advertised('192.0.2.1', '127.40.0.1');
  assert.equal(await anna.line(), 's1', 'its proxy need not be allowed');
  assert.equal(await advertised('192.0.2.2', '127.40.0.1').line(), 's1', 'and is not who is counted');
  assert.equal(await advertised('192.0.2.1', '127.40.0.2').ended, 'reset', 'she has one connection already');
  assert.equal(await advertised('192.0.2.66', '127.40.0.1').ended, 'reset', 'denied');
  assert.equal(await advertised('127.42.0.1', '127.40.0.1').line(), 's1', 'allowed');
  assert.equal(await advertised('198.51.100.7', '127.40.0.1').ended, 'reset', 'not allowed');
  assert.equal(await advertised('192.0.2.3', '127.41.0.1').ended, 'reset', 'the peer is not allowed, whoever it names');
  const counts = ['source_connections', 'denied', 'not_allowed'].map((reason) => berth.metric(refused(reason)));
  assert.deepEqual(await Promise.all(counts), [1, 1, 2]);
});

test('six hosts of one IPv6 network have a limit each where the prefix says so, and share one where not', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = (perSource: object): Settings => frontend({ acceptProxy: ['127.0.0.1'], perSource }, s1!);
  const berth = await start(t, rules({ rate: '3/1h' }));
  const port = await berth.port();
  const destination = { address: '2001:db8:5::1', port: 443 };
  const served = async (): Promise<number> => {
    const ends = [0, 1, 2, 3, 4, 5].map(async (host) => {
      const client = new Client({ port });
      const source = { address: `2001:db8:5::1${host}`, port: 50_000 };
      client.socket.write(buildProxyHeader('v2', source, destination));
      return client.line().catch(() => 'refused');
    });
    return (await Promise.all(ends)).filter((line) => line === 's1').length;
  };
  assert.equal(await served(), 3);
  await reload(berth, rules({ rate: '3/1h', prefix: { ipv6: 128 } }));
  assert.equal(await served(), 6);
});

test('a source has as many connections as it may, whatever becomes of them', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = { perSource: { connections: 2 } };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  const from = '127.33.0.1';
  for (let i = 0; i < 20; i++) {
    const client = new Client({ port, from });
    client.socket.once('connect', () => client.socket.resetAndDestroy());
    await client.ended;
    await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  }
  const held = [new Client({ port, from }), new Client({ port, from })];
  for (const client of held) assert.equal(await client.line(), 's1');
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal(await new Client({ port, from: '127.33.0.2' }).line(), 's1');
  assert.equal(await berth.metric(refused('source_connections')), 1);
  await held[0]?.finish();
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 2);
  assert.equal(await new Client({ port, from }).line(), 's1');

  await reload(berth, frontend(rules, await refusing()));
  for (let i = 0; i < 3; i++) {
    assert.equal(await new Client({ port, from: '127.33.0.3' }).ended, 'reset');
    await berth.line(({ client }) => String(client).startsWith('127.33.0.3:'), berth.lines.length - 1);
  }
  assert.equal(await berth.metric(refused('source_connections')), 1, 'those had no server, not too many connections');
});

test('a source that comes too often is refused, and a reload does not forget it', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, frontend({ perSource: { rate: '3/1h' } }, s1!));
  const port = await berth.port();
  const from = '127.34.0.1';
  for (let i = 0; i < 3; i++) assert.equal((await visit(berth, { port, from })).answered, 's1');
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal((await visit(berth, { port, from: '127.34.0.2' })).answered, 's1');
  await reload(berth, frontend({ perSource: { rate: '3/2h', connections: 7 } }, s1!));
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal(await berth.metric(refused('source_rate')), 2);
});

test('refusals are logged at a limited rate with their number, and all are counted', async (t) => {
  const berth = await start(t, frontend({ deny: ['0.0.0.0/0'] }, await refusing()));
  const port = await berth.port();
  const startedMs = performance.now();
  const refusals = () => berth.lines.filter(({ msg }) => msg === 'connection refused');
  let came = 0;
  // At the end more than 50 have come, and the last of them was logged.
  const told = () => refusals().reduce((sum, { count }) => sum + Number(count), 0);
  while (came < 50 || told() < 50) {
    assert.equal(await new Client({ port }).ended, 'reset');
    came++;
    assert.ok(refusals().length <= 1 + (performance.now() - startedMs) / 1_000, 'no more than one a second');
  }
  assert.ok(told() <= came);
  const [first] = refusals();
  assert.deepEqual(
    [first?.level, first?.['frontend'], first?.['reason'], first?.['count']],
    ['warn', 'f', 'denied', 1],
  );
  assert.match(String(first?.['client']), /^127\.0\.0\.1:\d+$/);
  assert.equal(await berth.metric(refused('denied')), came);
  assert.equal(berth.lines.filter(({ msg }) => msg === 'connection').length, 0);
});
