/** The log as it happens, read at the admin address. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { EventStream } from '../support/event-stream.ts';
import { openFilesOf } from '../support/files.ts';
import { api, setState, status } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const NOBODY = [{ name: 's1', address: '127.0.0.1:1' }];
const quiet = settings(NOBODY, { healthCheck: false });

test('an event of the log comes as it is written there, with its name and an id that grows', async (t) => {
  const berth = await start(t, quiet);
  const stream = await EventStream.open(berth);
  await setState(berth, 's1', 'drain');
  await setState(berth, 's1', 'ready');
  await stream.until('four events', () => stream.events.length >= 4);
  assert.deepEqual(
    stream.events.map(({ event }) => event),
    ['server_state', 'operator', 'server_state', 'operator'],
  );
  const ids = stream.events.map(({ id }) => id);
  assert.deepEqual(
    ids,
    [...new Set(ids)].toSorted((a, b) => a - b),
  );
  await berth.line(({ msg, state }) => msg === 'server state' && state === 'ready');
  const lines = berth.lines.filter(({ event }) => event === 'server_state' || event === 'operator');
  assert.deepEqual(
    stream.events.map(({ data }) => data),
    lines,
  );
  const { who, method, path, asked, status: code } = stream.events[1]!.data;
  assert.match(String(who), /^127\.0\.0\.1:\d+$/);
  assert.deepEqual([method, path, asked, code], ['PUT', '/api/v1/servers/b/s1', '{"state":"drain"}', 200]);
});

test('connections come where somebody asks for them, and events are chosen by name', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1']), {}, { log: { connections: false } }));
  const all = await EventStream.open(berth);
  const some = await EventStream.open(berth, '?events=connection,server_state');
  assert.equal(await whoServes(await berth.port()), 's1');
  const { data } = await some.event('connection');
  assert.deepEqual([data['frontend'], data['server'], data['end']], ['f', 's1', '--']);
  await setState(berth, 's1', 'drain');
  await some.event('server_state');
  await all.event('operator');
  assert.deepEqual(
    some.events.map(({ event }) => event),
    ['connection', 'server_state'],
  );
  assert.ok(!all.events.some(({ event }) => event === 'connection'));
  const wrong = await api(berth, 'GET', '/api/v1/events?events=server_up,server_don');
  assert.deepEqual(
    [wrong.status, wrong.body],
    [400, { error: 'events: there is no event server_don. Did you mean "server_down"?' }],
  );
  assert.equal((await api(berth, 'GET', '/api/v1/events?events=')).status, 400);
  assert.equal((await api(berth, 'GET', '/api/v1/events?recent=501')).status, 400);
  assert.equal((await api(berth, 'GET', '/api/v1/events', { headers: { 'last-event-id': 'x' } })).status, 400);
});

test('a reader that comes late, or comes back, has what it missed', async (t) => {
  const berth = await start(t, quiet);
  for (const state of ['drain', 'maint', 'ready']) await setState(berth, 's1', state);
  const late = await EventStream.open(berth, '?events=server_state&recent=500');
  await late.until('three', () => late.events.length >= 3);
  assert.deepEqual(
    late.events.map(({ data }) => data['state']),
    ['drain', 'maint', 'ready'],
  );
  const last = await EventStream.open(berth, '?recent=1');
  assert.equal((await last.event('operator')).data['status'], 200);
  late.leave();
  for (const state of ['maint', 'drain']) await setState(berth, 's1', state);
  const back = await EventStream.open(berth, '?events=server_state', { 'last-event-id': String(late.events[1]!.id) });
  await setState(berth, 's1', 'ready');
  await back.until('four', () => back.events.length >= 4);
  assert.deepEqual(
    back.events.map(({ data }) => data['state']),
    ['ready', 'maint', 'drain', 'ready'],
  );
});

test('a reader that does not read loses its connection; what it cost is given back', async (t) => {
  const berth = await start(t, quiet);
  const files = openFilesOf(berth.pid);
  const stuck = await EventStream.open(berth, '?events=reload_failed');
  stuck.pause();
  // A long line: whoever reads is told what is wrong with a file.
  const deny = Array.from({ length: 2_000 }, (_, i) => `nobody ${i}`);
  writeFileSync(berth.file, yaml(settings(NOBODY, {}, {}, { deny })));
  const reader = await EventStream.open(berth, '?events=reload_failed');
  let reloads = 0;
  await eventually('it to be let go', async () => {
    assert.equal((await api(berth, 'POST', '/api/v1/reload')).status, 422);
    await reader.until('the event', () => reader.events.length > reloads);
    reloads++;
    return openFilesOf(berth.pid) <= files + 1;
  });
  stuck.resume();
  assert.notEqual(await stuck.ended, 'end');
  assert.ok(reloads < 200, `${reloads} long lines were kept for it`);
  assert.equal((await status(berth)).stage, 'running');
  reader.leave();
  await eventually('as many files as before', () => openFilesOf(berth.pid) <= files);
});

test('there are eight streams for one client, and the others can still ask', async (t) => {
  const berth = await start(t, quiet);
  const streams = await Promise.all(Array.from({ length: 8 }, () => EventStream.open(berth)));
  const { status: code, body, headers } = await api(berth, 'GET', '/api/v1/events');
  assert.equal(code, 503);
  assert.match((body as { error: string }).error, /^too many event streams are open/);
  assert.equal(headers['retry-after'], '10');
  assert.equal((await status(berth)).stage, 'running');
  await EventStream.open(berth, '', {}, '127.0.0.9');
  streams[0]!.leave();
  await eventually('a place', () =>
    EventStream.open(berth).then(
      () => true,
      () => false,
    ),
  );
});

test('a stop is told to its end, and then the answer is whole', async (t) => {
  const berth = await start(t, quiet);
  const stream = await EventStream.open(berth);
  berth.signal('SIGTERM');
  assert.equal(await stream.ended, 'end');
  assert.deepEqual(
    stream.events.map(({ event }) => event),
    ['draining', 'stopped'],
  );
  assert.equal(await berth.exitCode(), 0);
});

test('where nothing happens a comment comes now and then', async (t) => {
  const berth = await start(t, quiet);
  const stream = await EventStream.open(berth);
  await stream.until('a comment', () => stream.comments.includes('still here'));
  assert.deepEqual(stream.events, []);
});
