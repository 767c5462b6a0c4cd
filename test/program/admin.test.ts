import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import {
  api,
  explain,
  explainAway,
  reload,
  serverStatus,
  setState,
  status,
  type ServerStatus,
} from '../support/operator.ts';
import { clients, places, whoServes } from '../support/people.ts';
import { refusing, serve } from '../support/servers.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';
import { join } from 'node:path';

test('status tells what runs', async (t) => {
  const servers = await serve(t, ['s1']);
  const list = { s1: servers[0]!.address, six: { address: '[::1]:9', weight: 3, backup: true } };
  const berth = await start(t, settings([], { ...QUICK_CHECKS, servers: list, balance: 'leastconn' }));
  const port = await berth.port();
  const client = new Client({ port });
  assert.equal(await client.line(), 's1');
  client.socket.write('hello');
  await client.bytes('s1\nhello'.length);
  const downAt = String((await berth.line(({ msg, server }) => msg === 'server down' && server === 'six'))['address']);
  assert.equal(downAt, '[::1]:9');
  const { backends, frontends, ...whole } = await status(berth);
  const { version, node, stage, startedAt, now, pid, config } = whole;
  assert.match(version, /^\d+\.\d+\.\d+/);
  // A berth that is one file has a Node of its own.
  const { node: running } = await berth.line(({ event }) => event === 'started');
  assert.deepEqual([node, stage], [running, 'running']);
  assert.equal(pid, berth.pid);
  assert.ok(Date.parse(startedAt) <= Date.parse(config.loadedAt) && Date.parse(config.loadedAt) <= Date.parse(now));
  assert.deepEqual(config, {
    file: berth.file,
    loadedAt: config.loadedAt,
    lastReload: { ok: true, at: config.loadedAt, problems: [] },
  });
  const { connectionsPerSecond, ...front } = frontends[0]!;
  const addresses = [`127.0.0.1:${port}`];
  assert.deepEqual(front, { name: 'f', addresses, connections: 1, connectionsTotal: 1, refusedTotal: 0 });
  assert.ok(connectionsPerSecond >= 0);
  const [s1, six] = backends[0]!.servers;
  const { servers: _, bytesInPerSecond, bytesOutPerSecond, ...backend } = backends[0]!;
  assert.ok(bytesInPerSecond >= 0 && bytesOutPerSecond >= 0);
  assert.deepEqual(backend, {
    name: 'b',
    balance: 'leastconn',
    queue: 0,
    stickTable: { size: 200_000, entries: 1, shared: null },
    connections: 1,
    clients: 1,
    names: [],
  });
  const { since, connectMs, checkMs, ...more } = s1!;
  assert.ok(connectMs! > 0 && connectMs! < 5_000);
  assert.ok(checkMs === null || checkMs > 0);
  const rates = { connectionsPerSecond: 0, bytesInPerSecond: 0, bytesOutPerSecond: 0 };
  const up = { ...more, ...rates };
  assert.ok(Math.abs(Date.now() - Date.parse(since)) < 600_000);
  assert.deepEqual(up, {
    name: 's1',
    address: servers[0]!.address,
    up: true,
    reason: '',
    state: 'ready',
    stateWho: null,
    stateBy: null,
    stateSince: null,
    usable: true,
    weight: 1,
    backup: false,
    connections: 1,
    queue: 0,
    clients: 1,
    bytesIn: 5,
    bytesOut: 8,
    storage: null,
    storageReason: '',
    configuredWeight: 1,
    connectionsTotal: 1,
    connectErrors: 0,
    ...rates,
  });
  const { address, up: isUp, usable, weight, reason, connectMs: none } = six!;
  assert.equal(none, null);
  assert.deepEqual([address, isUp, usable, weight], ['[::1]:9', false, false, 3]);
  assert.match(reason, /refused|ECONNREFUSED|unreachable|EADDRNOTAVAIL/i);
});

test('explain says where a client goes, and why', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, s2!], QUICK_CHECKS));
  const port = await berth.port();
  const why = async (ip = '127.0.7.1'): Promise<string> => (await explain(berth, ip)).why;
  assert.equal(await why(), 'not bound; the next connection is bound where roundrobin sends it');
  await whoServes(port, '127.0.7.1');
  const bound = await explainAway(berth, '127.0.7.1');
  assert.deepEqual([bound.client, bound.server, bound.connections], ['127.0.7.1', 's1', 0]);
  assert.ok(bound.expiresMs! > 0 && bound.expiresMs! <= 1_800_000);
  assert.equal(bound.why, 'bound to s1, which is up and takes its clients');
  assert.equal((await explain(berth, '::ffff:127.0.7.1')).server, 's1', 'however it is spelled');
  assert.equal((await explain(berth, '::FFFF:7f00:701')).server, 's1');
  assert.equal((await explain(berth, '2001:DB8::5')).client, (await explain(berth, '2001:db8:0:0::9')).client);
  const open = new Client({ port, from: '127.0.7.1' });
  await open.line();
  const held = await explain(berth, '127.0.7.1');
  assert.deepEqual([held.connections, held.expiresMs], [1, null]);

  await setState(berth, 's1', 'drain');
  assert.equal(await why(), 'bound to s1, which drains: it keeps its clients and takes no new ones');
  await setState(berth, 's1', 'maint');
  assert.equal(await why(), 'bound to s1, which is in maint; the next connection moves it where roundrobin sends it');
  await s2!.close();
  await berth.line(({ msg, server }) => msg === 'server down' && server === 's2');
  assert.equal(
    await why(),
    'bound to s1, which is in maint; no server takes new clients, the next connection is reset',
  );
  await setState(berth, 's1', 'drain');
  assert.equal(await why('127.0.7.9'), 'not bound; no server takes new clients, the next connection is reset');
  assert.equal(await new Client({ port, from: '127.0.7.9' }).ended, 'reset');
  await open.finish();
});

test('explain without a stick table, and of a client that a backup serves', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const spare = { servers: { s1: s1!.address, s2: { address: s2!.address, backup: true } } };
  const backends = { b: spare, loose: { ...spare, stickTable: false } };
  const berth = await start(t, { ...settings([]), backends });
  await setState(berth, 's1', 'maint');
  assert.equal(await whoServes(await berth.port(), '127.0.7.1'), 's2');
  assert.equal((await explain(berth, '127.0.7.1')).why, 'bound to s2, which is up and takes its clients');
  await setState(berth, 's1', 'ready');
  assert.match(
    (await explain(berth, '127.0.7.1')).why,
    /^bound to s2, which is a backup that is not needed any more; /,
  );
  const { body } = await api(berth, 'GET', '/api/v1/explain?ip=127.0.7.1');
  const loose = (body as { backends: { client: null; server: null; why: string }[] }).backends[1]!;
  assert.deepEqual([loose.client, loose.server], [null, null]);
  assert.equal(loose.why, 'not sticky; the next connection goes where roundrobin sends it');
});

test('drain keeps bound clients and open connections, and takes no new client', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1', 's2'])));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const open = new Client({ port, from: '127.0.7.1' });
  await open.line();
  const { status: code, body } = await setState(berth, 's1', 'drain');
  const { before, server, moves } = body as { before: object; server: ServerStatus; moves: number };
  assert.deepEqual([code, before, server.state, moves], [200, { state: 'ready', weight: 1 }, 'drain', 0]);
  assert.deepEqual(await places(port, clients(6)), ['s1', 's2', 's2', 's2', 's2', 's2']);
  open.socket.write('still here');
  await open.bytes('s1\nstill here'.length);
  const { usable, up, clients: bound } = (await serverStatus(berth, 's1'))!;
  assert.deepEqual([usable, up, bound], [true, true, 1]);
  assert.equal(await berth.metric('berth_server_admin_state{backend="b",server="s1",state="drain"}'), 1);
  assert.equal(await berth.metric('berth_server_admin_state{backend="b",server="s1",state="ready"}'), 0);
  const line = await berth.line(({ msg }) => msg === 'server state');
  assert.deepEqual([line['server'], line['state'], line['before']], ['s1', 'drain', 'ready']);
  const { stateWho, stateBy, stateSince } = server;
  assert.match(String(stateWho), /^127\.0\.0\.1:\d+$/);
  assert.deepEqual([line['who'], line['since'], stateBy], [stateWho, stateSince, null]);
  const { order } = await explain(berth, '127.0.7.1');
  assert.equal(order, `${stateWho} put s1 in drain, ${stateSince}`);
  await setState(berth, 's1', 'ready');
  assert.deepEqual(new Set(await places(port, ['127.0.8.1', '127.0.8.2'])), new Set(['s1', 's2']));
});

test('maint moves its clients and leaves open connections alone; ready takes new ones, and fetches nobody back', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1', 's2'])));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const open = new Client({ port, from: '127.0.7.1' });
  await open.line();
  const { body } = await setState(berth, 's1', 'maint');
  assert.equal((body as { moves: number }).moves, 1);
  assert.deepEqual(await places(port, clients(2)), ['s2', 's2']);
  open.socket.write('still here');
  await open.bytes('s1\nstill here'.length);
  const { usable, up } = (await serverStatus(berth, 's1'))!;
  assert.deepEqual([usable, up], [false, true]);
  await setState(berth, 's1', 'ready');
  assert.deepEqual(await places(port, clients(2)), ['s2', 's2'], 'stick: stay is the default');
  assert.deepEqual(new Set(await places(port, ['127.0.8.1', '127.0.8.2'])), new Set(['s1', 's2']));
});

test('who waits for a server that goes to maint is given another', async (t) => {
  const list = async (): Promise<object> => {
    const [s1, s2] = await serve(t, ['s1', 's2']);
    return { s1: { address: s1!.address, maxConnections: 1 }, s2: s2!.address };
  };
  const berth = await start(t, settings([], { servers: await list() }, { timeouts: { queue: '1h' } }));
  const port = await berth.port();
  const first = new Client({ port, from: '127.0.7.1' });
  assert.equal(await first.line(), 's1');
  const second = new Client({ port, from: '127.0.7.1' });
  await berth.metricIs('berth_server_queue{backend="b",server="s1"}', 1);
  await setState(berth, 's1', 'maint');
  assert.equal(await second.line(), 's2');
  await first.finish();
});

test('all in maint: nothing is usable, clients are reset, and /readyz says so', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const port = await berth.port();
  await setState(berth, 's1', 'maint');
  assert.equal(await new Client({ port }).ended, 'reset');
  assert.deepEqual(
    (await berth.connections(1)).map(({ end }) => end),
    ['SC'],
  );
  assert.equal((await berth.get('/readyz')).status, 503);
  await setState(berth, 's1', 'ready');
  assert.equal((await berth.get('/readyz')).status, 200);
});

test('a state stays over reloads, checks and a restart, and comes back with the name of its server', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const state = { state: { file: join(folderOf(t), 'state') } };
  const file = settings([s1!, s2!], QUICK_CHECKS, state);
  const first = await start(t, file);
  await setState(first, 's1', 'maint');
  await s1!.close();
  await first.line(({ msg, server }) => msg === 'server down' && server === 's1');
  await s1!.open();
  await first.line(({ msg, server }) => msg === 'server up' && server === 's1');
  await reload(first, settings([s1!, s2!], { ...QUICK_CHECKS, balance: 'random', retries: 1 }, state));
  assert.equal((await serverStatus(first, 's1'))?.state, 'maint');
  first.signal('SIGTERM');
  assert.equal(await first.exitCode(), 0);

  const second = await start(t, file);
  assert.equal((await serverStatus(second, 's1'))?.state, 'maint');
  assert.deepEqual(await places(await second.port(), clients(2)), ['s2', 's2']);
  await reload(second, settings([s2!], QUICK_CHECKS, state));
  await reload(second, file);
  assert.equal((await serverStatus(second, 's1'))?.state, 'maint');
});

test('a server that is down and in maint needs both to be mended', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([s1!, { name: 'dead', address: await refusing() }], QUICK_CHECKS));
  await berth.line(({ msg, server }) => msg === 'server down' && server === 'dead');
  await setState(berth, 'dead', 'maint');
  await setState(berth, 'dead', 'ready');
  const { up, usable, reason } = (await serverStatus(berth, 'dead'))!;
  assert.deepEqual([up, usable], [false, false]);
  assert.notEqual(reason, '');
  await setState(berth, 's1', 'maint');
  await s1!.close();
  await berth.line(({ msg, server }) => msg === 'server down' && server === 's1');
  await setState(berth, 's1', 'ready');
  assert.equal((await serverStatus(berth, 's1'))?.usable, false);
  await s1!.open();
  await eventually('it to be usable', async () => (await serverStatus(berth, 's1'))?.usable);
});

test('explain says where a client goes that is to return to its first server', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { stickTable: { failback: 'return' } }));
  const port = await berth.port();
  assert.equal(await whoServes(port, '127.0.7.1'), 's1');
  await setState(berth, 's1', 'maint');
  assert.equal(await whoServes(port, '127.0.7.1'), 's2');
  assert.match((await explain(berth, '127.0.7.1')).why, /^bound to s2, which is up/);
  await setState(berth, 's1', 'ready');
  assert.match((await explain(berth, '127.0.7.1')).why, /^bound to s2; the next connection returns it to s1/);
  assert.equal(await whoServes(port, '127.0.7.1'), 's1');
});

test('rates are averages of what flows; they are there while it does, and fade', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const port = await berth.port();
  const client = new Client({ port });
  await client.line();
  const flow = setInterval(() => client.socket.write('x'.repeat(10_000)), 50);
  t.after(() => clearInterval(flow));
  const s1 = async (): Promise<ServerStatus> => (await serverStatus(berth, 's1'))!;
  await eventually('bytes to flow', async () => (await s1()).bytesInPerSecond > 20_000);
  await whoServes(port, '127.0.7.9');
  await eventually('a connection to count', async () => {
    const { connectionsPerSecond: rate } = (await status(berth)).frontends[0]!;
    return rate > 0 && rate < 10;
  });
  const { bytesInPerSecond, servers } = (await status(berth)).backends[0]!;
  assert.equal(bytesInPerSecond, servers[0]!.bytesInPerSecond);
  assert.ok(bytesInPerSecond < 400_000, `${bytesInPerSecond} are more than were sent`);
  clearInterval(flow);
  await eventually('them to fade', async () => (await s1()).bytesInPerSecond < bytesInPerSecond / 2);
});

test('a reload that failed is in the status, until another succeeds', async (t) => {
  const file = settings([{ name: 's1', address: '127.0.0.1:1' }], { healthCheck: false });
  const berth = await start(t, file);
  const { config: before } = await status(berth);
  await reload(berth, { ...file, timeouts: { idle: 'soon' } });
  const { config: failed } = await status(berth);
  assert.equal(failed.loadedAt, before.loadedAt);
  assert.equal(failed.lastReload.ok, false);
  assert.match(failed.lastReload.problems[0]!, /timeouts\.idle/);
  await reload(berth, file);
  const { config: after } = await status(berth);
  assert.deepEqual(after.lastReload, { ok: true, at: after.loadedAt, problems: [] });
  assert.ok(after.loadedAt > before.loadedAt);
});
