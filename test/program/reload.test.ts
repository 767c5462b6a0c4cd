import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { explain, explainAway, reload, serverStatus, setState, standing, status } from '../support/operator.ts';
import { clients, places, whoServes } from '../support/people.ts';
import { hangs, refusing, serve } from '../support/servers.ts';
import { QUICK_CHECKS, settings, yaml } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

test('a reload of the same file changes nothing: sockets, bindings, health, counters and operator’s states stay', async (t) => {
  const servers = [...(await serve(t, ['s1', 's2', 's3'])), { name: 'dead', address: await refusing() }];
  const berth = await start(t, settings(servers, QUICK_CHECKS));
  const port = await berth.port();
  await berth.line(({ msg, server }) => msg === 'server down' && server === 'dead');
  const bound = await places(port, clients(5));
  await berth.metricIs('berth_backend_connections_ended_total{backend="b",end="--"}', 5);
  await setState(berth, 's2', 'drain');
  await setState(berth, 's3', 'maint');
  const client = new Client({ port, from: '127.0.7.1' });
  await client.line();
  const before = await standing(berth);
  const counted = async (): Promise<string[]> =>
    (await berth.get('/metrics')).text
      .split('\n')
      .filter((line) => /^berth_(frontend|server_(conn|bytes)|backend|stick)\w*(total|count|bucket)?\{/.test(line));
  const countedBefore = await counted();
  const seen = berth.lines.length;
  for (let i = 0; i < 3; i++) assert.equal((await reload(berth)).msg, 'reloaded');
  assert.deepEqual(await standing(berth), before);
  assert.deepEqual(await counted(), countedBefore);
  const others = berth.lines.slice(seen).filter(({ msg }) => /listening|server (up|down)|draining/.test(msg));
  assert.deepEqual(others, [], 'no flap, no socket opened anew');
  client.socket.write('still here');
  await client.bytes('s1\nstill here'.length);
  await setState(berth, 's3', 'ready');
  assert.deepEqual(await places(port, clients(5)), bound);
});

test('a server that is added takes new clients, and nobody moves for it', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!]));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(3)), ['s1', 's1', 's1']);
  assert.equal((await reload(berth, settings([s1!, s2!]))).msg, 'reloaded');
  assert.deepEqual(await places(port, clients(7)), ['s1', 's1', 's1', 's1', 's2', 's1', 's2']);
});

test('a server that is removed keeps its open connections, and its clients are given another', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, s2!]));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const open = new Client({ port, from: '127.0.7.2' });
  assert.equal(await open.line(), 's2');
  assert.equal((await reload(berth, settings([s1!]))).msg, 'reloaded');
  assert.match((await explain(berth, '127.0.7.2')).why, /^bound to s2, which is no longer configured; /);
  assert.equal(await whoServes(port, '127.0.7.2'), 's1');
  open.socket.write('still here');
  await open.bytes('s2\nstill here'.length);
  assert.equal(await open.finish(), 'end');
  const line = await berth.line(({ msg, server }) => msg === 'connection' && server === 's2', 4);
  assert.equal(line['end'], '--');
  const { text } = await berth.get('/metrics');
  assert.deepEqual(text.match(/^.*server="s2".*$/gm), null, 'nothing is told of it any more');
  assert.equal(await berth.metric('berth_server_stick_entries{backend="b",server="s1"}'), 2);
});

test('a changed weight counts from the next new client on', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, s2!]));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const weights = { servers: { s1: { address: s1!.address, weight: 0 }, s2: { address: s2!.address, weight: 2 } } };
  await reload(berth, settings([], weights));
  assert.deepEqual(await places(port, clients(5)), ['s1', 's2', 's2', 's2', 's2']);
});

test('a server that moves to another address keeps its clients and what the operator wants of it; open connections go on', async (t) => {
  const [before, after, s2] = await serve(t, ['before', 'after', 's2']);
  const at = (s1: { address: string }): object => ({ servers: { s1: s1.address, s2: s2!.address } });
  const berth = await start(t, settings([], at(before!)));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['before', 's2']);
  const open = new Client({ port, from: '127.0.7.1' });
  await open.line();
  await reload(berth, settings([], at(after!)));
  assert.deepEqual(await places(port, clients(2)), ['after', 's2']);
  open.socket.write('still here');
  await open.bytes('before\nstill here'.length);
  await setState(berth, 's1', 'maint');
  await reload(berth, settings([], at(before!)));
  assert.deepEqual([(await serverStatus(berth, 's1'))?.state, (await serverStatus(berth, 's1'))?.up], ['maint', true]);
  assert.deepEqual(await places(port, clients(2)), ['s2', 's2']);
});

test('another resolveInterval moves nobody, and ends no maintenance', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, s2!]));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  await setState(berth, 's1', 'drain');
  const before = await standing(berth);
  await reload(berth, settings([s1!, s2!], { resolveInterval: '1m' }));
  assert.deepEqual(await standing(berth), before);
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
});

test('a table that shrinks lets those go that were away longest; one that grows keeps all', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { stickTable: { size: 10 } }));
  const port = await berth.port();
  const open = new Client({ port, from: '127.0.7.1' });
  await open.line();
  await places(port, clients(6));
  const sized = (size: number): Promise<unknown> => reload(berth, settings(servers, { stickTable: { size } }));
  const bound = async (): Promise<boolean[]> =>
    Promise.all(clients(6).map(async (one) => (await explain(berth, one)).server !== null));
  await sized(3);
  assert.deepEqual(await bound(), [true, false, false, false, true, true], 'the first has a connection open');
  assert.deepEqual((await status(berth)).backends[0]?.stickTable, { size: 3, entries: 3, shared: null });
  assert.equal(await berth.metric('berth_stick_table_evictions_total{backend="b"}'), 3);
  await sized(6);
  await places(port, clients(6));
  assert.deepEqual(
    await bound(),
    clients(6).map(() => true),
  );
  await open.finish();
});

test('another expire counts for the bindings that stand, from when they were matched last', async (t) => {
  const servers = await serve(t, ['s1']);
  const lasting = (expire: string) => settings(servers, { stickTable: { expire } });
  const berth = await start(t, lasting('1h'));
  await places(await berth.port(), clients(2));
  const left = async (): Promise<number> => (await explainAway(berth, '127.0.7.1')).expiresMs ?? NaN;
  const before = await left();
  await reload(berth, lasting('2h'));
  const longer = await left();
  assert.ok(longer > 3_600_000 && longer <= before + 3_600_000, `${longer} after ${before}`);
  await reload(berth, lasting('30m'));
  assert.ok((await left()) <= longer - 90 * 60_000);
  await reload(berth, lasting('1ms'));
  await eventually('the bindings to run out', async () =>
    (await explain(berth, '127.0.7.1')).server ? undefined : true,
  );
  assert.equal(await berth.metricIs('berth_stick_table_expirations_total{backend="b"}', 2), 2);
});

test('stickiness that is switched off and on again begins anew', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  const [client = ''] = clients(1);
  assert.deepEqual(await places(port, [client, client]), ['s1', 's1']);
  const open = new Client({ port, from: client });
  await open.line();
  await reload(berth, settings(servers, { stickTable: false }));
  assert.deepEqual(new Set(await places(port, [client, client])), new Set(['s1', 's2']));
  await reload(berth, settings(servers));
  await open.finish();
  assert.equal((await explain(berth, client)).server, null);
  const [first, second] = await places(port, [client, client]);
  assert.equal(first, second);
});

test('clients that were moved to a backup find back to their first server, though the backup came with a reload', async (t) => {
  const [s1, s2, spare] = await serve(t, ['s1', 's2', 'spare']);
  const berth = await start(t, settings([s1!, s2!], QUICK_CHECKS));
  const port = await berth.port();
  const bound = await places(port, clients(4));
  const list = { s1: s1!.address, s2: s2!.address, spare: { address: spare!.address, backup: true } };
  await reload(berth, settings([], { ...QUICK_CHECKS, servers: list }));
  for (const name of ['s1', 's2']) await setState(berth, name, 'maint');
  assert.deepEqual(await places(port, clients(4)), ['spare', 'spare', 'spare', 'spare']);
  for (const name of ['s2', 's1']) await setState(berth, name, 'ready');
  assert.deepEqual(await places(port, clients(4).toReversed()), bound.toReversed());
});

test('another health check takes the place of the old one; none at all brings up what it had taken down', async (t) => {
  // It accepts and says nothing: up for TCP, down for HTTP.
  const servers = await serve(t, ['s1'], hangs);
  const checked = (check: object | false) => settings(servers, { healthCheck: check });
  const berth = await start(t, checked({ interval: '50ms' }));
  const since = (await serverStatus(berth, 's1'))?.since;
  await reload(berth, checked({ type: 'http', interval: '50ms', fastInterval: '50ms', timeout: '50ms', fall: 2 }));
  await berth.line(({ msg, server }) => msg === 'server down' && server === 's1');
  assert.notEqual((await serverStatus(berth, 's1'))?.since, since);
  const seen = berth.lines.length;
  await reload(berth, checked(false));
  await berth.line(({ msg }) => msg === 'server up', seen);
  assert.equal(await berth.metric('berth_server_up{backend="b",server="s1"}'), 1);
});

test('other timeouts count for connections that come after the reload', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers, {}, { timeouts: { idle: '1h' } }));
  const port = await berth.port();
  const old = new Client({ port });
  await old.line();
  await reload(berth, settings(servers, {}, { timeouts: { idle: '100ms' } }));
  const fresh = await visitUntilIdle(port);
  assert.equal(fresh, 's1');
  assert.match(String((await berth.connections(1))[0]?.['end']), /^[cs]D$/);
  old.socket.write('still here');
  await old.bytes('s1\nstill here'.length);
});

/** Connects, hears who serves, and waits until the balancer ends the connection. */
async function visitUntilIdle(port: number): Promise<string> {
  const client = new Client({ port });
  const name = await client.line();
  await client.ended;
  client.socket.destroy();
  return name;
}

test('log.level is applied, and what is below is written or not from then on', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const [one, both] = [servers.slice(0, 1), servers];
  const level = (name: string): object => ({ log: { level: name } });
  const berth = await start(t, settings(both));
  await reload(berth, settings(one, {}, level('debug')));
  await berth.line(({ event }) => event === 'server_left');
  writeFileSync(berth.file, yaml(settings(both, {}, level('error'))));
  berth.signal('SIGHUP');
  await berth.line(({ event, least }) => event === 'log_level' && least === 'error');
  const seen = berth.lines.length;
  assert.equal((await reload(berth, 'frontends: {}')).msg.startsWith('reload failed'), true);
  await reload(berth, settings(one, {}, level('info')));
  const later = berth.lines.slice(seen).map(({ event, least }) => [event, least]);
  assert.deepEqual(later, [
    ['reload_failed', undefined],
    ['log_level', 'info'],
    ['reloaded', undefined],
  ]);
});

test('log.format is applied to the lines that follow', async (t) => {
  const servers = await serve(t, ['s1']);
  const read = (line: string): string | undefined => (line.startsWith('{') ? line : undefined);
  const written: string[] = [];
  const berth = await start(t, settings(servers), { read: (line) => (written.push(line), read(line)) });
  const format = async (name: string): Promise<void> => {
    writeFileSync(berth.file, yaml(settings(servers, {}, { log: { format: name } })));
    const seen = written.length;
    berth.signal('SIGHUP');
    await eventually('a line', () => written.slice(seen).some((line) => line.includes('reloaded')));
  };
  await format('pretty');
  assert.match(written.at(-1) ?? '', /^\d\d:\d\d:\d\d\.\d{3} INFO  reloaded$/);
  await format('auto');
  assert.equal(berth.lines.at(-1)?.msg, 'reloaded');
});

test('log.connections is applied', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  await visit(berth, { port });
  await reload(berth, settings(servers, {}, { log: { connections: false } }));
  await whoServes(port);
  await berth.metricIs('berth_backend_connections_ended_total{backend="b",end="--"}', 2);
  await reload(berth, settings(servers, {}, { log: { connections: true } }));
  await visit(berth, { port });
  assert.equal(berth.lines.filter(({ msg }) => msg === 'connection').length, 2);
});

test('a reload waits for no pipe, whichever file of the configuration it stands for', async (t) => {
  const servers = await serve(t, ['s1']);
  const pipe = join(folderOf(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  const refused = async (from: number): Promise<string> => {
    berth.signal('SIGHUP');
    const line = await berth.line(({ event }) => event === 'reload_failed', from);
    assert.equal(await whoServes(port), 's1');
    return String(line['problems']);
  };
  const from = berth.lines.length;
  writeFileSync(berth.file, yaml(settings(servers, {}, {}, { deny: [`file:${pipe}`] })));
  assert.match(await refused(from), /deny\.0: cannot be used: it is a pipe, and a balancer that runs waits for no/);

  const later = berth.lines.length;
  renameSync(pipe, berth.file);
  assert.match(
    await refused(later),
    /cannot read the file: it is a pipe, and a balancer that runs waits for no writer/,
  );
});
