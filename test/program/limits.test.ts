import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { openFilesOf } from '../support/files.ts';
import { reload } from '../support/operator.ts';
import { echoes, hangs, mirrors, resets, serve, type Manner } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const refused = (reason: string): string => `berth_frontend_refused_total{frontend="f",reason="${reason}"}`;
const ended = (end: string): string => `berth_backend_connections_ended_total{backend="b",end="${end}"}`;
const OPEN = 'berth_frontend_connections{frontend="f"}';

/** Whether the client is served; the balancer accepts before it refuses, so that the connect alone says nothing. */
async function served(client: Client): Promise<boolean> {
  return client.line().then(
    () => true,
    () => false,
  );
}

test('with few files to open, clients that do not fit are refused and counted, the others go on, and service resumes', async (t) => {
  const servers = await serve(t, ['s1']);
  const through = ['prlimit', '--nofile=128:128'];
  const berth = await start(t, settings(servers, { healthCheck: false }), { through });
  const fits = Number((await berth.line(({ msg }) => msg === 'started'))['maxConnections']);
  assert.ok(fits > 10 && fits < 64, `${fits} connections of two descriptors each fit`);
  const port = await berth.port();

  const inside = Array.from({ length: fits }, () => new Client({ port }));
  assert.deepEqual(new Set(await Promise.all(inside.map(served))), new Set([true]));
  const outside = Array.from({ length: 50 }, () => new Client({ port }));
  assert.deepEqual(new Set(await Promise.all(outside.map(served))), new Set([false]));
  assert.equal(await berth.metric(refused('open_files')), 50);
  assert.equal(await berth.metric(OPEN), fits);
  assert.ok(openFilesOf(berth.pid) <= 128);
  const line = await berth.line(({ msg }) => msg === 'connection refused');
  assert.deepEqual([line['frontend'], line['reason']], ['f', 'open_files']);

  for (const client of inside) client.socket.write('on we go');
  await Promise.all(inside.map((client) => client.bytes('s1\non we go'.length)));
  await Promise.all(inside.map((client) => client.finish()));
  await berth.metricIs(OPEN, 0);
  await visit(berth, { port });
  assert.equal(await berth.metric(refused('open_files')), 50);
  assert.equal(await berth.metric(ended('--')), fits + 1, 'not one of those inside was disturbed');
});

test('a reload while clients wait for their server counts no more room than there is', async (t) => {
  const servers = await serve(t, ['s1']);
  const config = settings(servers, {}, {}, { acceptProxy: ['127.0.0.0/8'] });
  const berth = await start(t, config, { through: ['prlimit', '--nofile=200'] });
  const port = await berth.port();
  const before = (await berth.line(({ msg }) => msg === 'started'))['maxConnections'];
  const waiting = Array.from({ length: 60 }, () => new Client({ port }));
  await berth.metricIs(OPEN, 60);
  await reload(berth);
  const more = Array.from({ length: 200 }, () => new Client({ port }));
  const outcome = await Promise.race([
    berth.metricIs(refused('open_files'), 260 - Number(before)),
    berth.line(({ msg, end }) => msg === 'connection' && end === 'RC').then(() => 'out of descriptors'),
  ]);
  assert.equal(outcome, 260 - Number(before));
  for (const client of [...waiting, ...more]) client.socket.destroy();
});

test('when the limit of open files is lowered below what is open, connections go on, and service resumes with it', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers, { healthCheck: { interval: '20ms', fastInterval: '20ms' } }));
  const port = await berth.port();
  const limit = (files: number): unknown =>
    execFileSync('prlimit', ['--pid', String(berth.pid), `--nofile=${files}:${openFilesLimit}`]);
  const openFilesLimit = Number(
    /Max open files\s+\d+\s+(\d+)/.exec(execFileSync('cat', [`/proc/${berth.pid}/limits`]).toString())?.[1],
  );
  const inside = new Client({ port });
  await inside.line();
  limit(10);
  const outside = Array.from({ length: 20 }, () => new Client({ port }));
  await Promise.all(outside.map(({ socket }) => once(socket, 'connect')));
  // Long enough for many checks to fail for want of a descriptor.
  const deadline = Date.now() + 1_000;
  let beats = 0;
  while (Date.now() < deadline) {
    inside.socket.write('.');
    await inside.bytes('s1\n'.length + ++beats);
  }
  limit(openFilesLimit);
  await eventually('service to resume', async () => await served(new Client({ port })));
  assert.deepEqual(new Set(await Promise.all(outside.map(served))), new Set([true]), 'they had only to wait');
  const down = berth.lines.filter(({ msg }) => msg === 'server down');
  assert.deepEqual(down, [], 'no server is to blame');
  inside.socket.write('!');
  await inside.bytes('s1\n!'.length + beats);
  for (const client of outside) client.socket.destroy();
  await inside.finish();
});

test('a reload that cannot open a file changes nothing and kills nothing, and the next one works', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const client = new Client({ port: await berth.port() });
  await client.line();
  const limit = (files: string): unknown => execFileSync('prlimit', ['--pid', String(berth.pid), `--nofile=${files}`]);
  limit('5:');
  assert.equal((await reload(berth)).msg, 'reload failed; the old configuration stays in force');
  limit('4096:');
  assert.equal((await reload(berth)).msg, 'reloaded');
  client.socket.write('still here');
  await client.bytes('s1\nstill here'.length);
  await client.finish();
});

test('a frontend takes as many connections as its maxConnections, and the next when one of them ends', async (t) => {
  const servers = await serve(t, ['s1']);
  const config = settings(servers, {}, {}, { maxConnections: 2 });
  const berth = await start(t, config);
  const port = await berth.port();
  const inside = [new Client({ port }), new Client({ port })];
  for (const client of inside) assert.equal(await served(client), true);
  const third = new Client({ port, from: '127.0.40.3' });
  assert.equal(await third.ended, 'reset');
  assert.equal(await berth.metric(refused('max_connections')), 1);
  const line = await berth.line(({ msg }) => msg === 'connection refused');
  assert.deepEqual([line['reason'], String(line['client']).split(':')[0]], ['max_connections', '127.0.40.3']);
  await inside[0]?.finish();
  await berth.metricIs(OPEN, 1);
  assert.equal(await served(new Client({ port })), true);
  assert.equal(
    await berth.metric('berth_frontend_connections_total{frontend="f"}'),
    4,
    'the refused one was accepted, too',
  );
});

test('a storm of clients that reset as soon as they are in costs neither service nor descriptors', async (t) => {
  const servers = await serve(t, ['s1', 's2'], echoes);
  const berth = await start(t, settings(servers, { healthCheck: false }));
  const port = await berth.port();
  const steady = new Client({ port });
  const name = await steady.line();
  const before = openFilesOf(berth.pid);
  const reset = async (after: 'connect' | 'data'): Promise<void> => {
    const client = new Client({ port });
    await once(client.socket, after);
    client.socket.write('never read');
    const gone = once(client.socket, 'close');
    client.socket.resetAndDestroy();
    await gone;
  };
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => reset(i % 2 === 0 ? 'connect' : 'data')));
  }
  steady.socket.write('well');
  await steady.bytes(name.length + '\nwell'.length);
  await berth.metricIs(OPEN, 1);
  // Scrapes keep a connection of their own open.
  await eventually('the descriptors to be closed', () => openFilesOf(berth.pid) <= before + 3);
  for (const server of servers) await eventually('its connections to close', () => server.sockets.size <= 1);
  assert.equal(await berth.metric('berth_server_connections{backend="b",server="s1"}'), 1);
  await steady.finish();
});

test('a client that has been reset in the middle of a transfer is CD, a server that has reset is SD', async (t) => {
  const servers = await serve(t, ['s1'], resets);
  const berth = await start(t, settings(servers, { healthCheck: false }));
  const port = await berth.port();
  const victim = new Client({ port });
  victim.socket.write('provoke');
  assert.equal(await victim.ended, 'reset', 'the reset of the server reaches the client as one');
  await berth.metricIs(ended('SD'), 1);
  const leaver = new Client({ port });
  await berth.metricIs('berth_server_connections{backend="b",server="s1"}', 1);
  leaver.socket.resetAndDestroy();
  await berth.metricIs(ended('CD'), 1);
  await eventually('the reset to reach the server', () => servers[0]?.sockets.size === 0);
});

for (const [what, manner, talk, end] of [
  ['a server that owes an answer', hangs, 'a question', 'sD'],
  ['a client that has been answered', mirrors, 'a question', 'cD'],
] as const satisfies readonly (readonly [string, Manner, string, string])[]) {
  test(`a connection on which nothing moves ends after timeouts.idle, on the account of ${what}`, async (t) => {
    const servers = await serve(t, ['s1'], manner);
    const config = settings(servers, { healthCheck: false }, { timeouts: { idle: '300ms', halfClosed: '1h' } });
    const berth = await start(t, config);
    const client = new Client({ port: await berth.port() });
    client.socket.write(talk);
    await client.ended;
    const [line] = await berth.connections(1);
    assert.deepEqual([line?.['end'], line?.['in']], [end, talk.length]);
    await eventually('the server to hear of it', () => servers[0]?.sockets.size === 0);
  });
}

test('a server that does not finish after its client has ends after timeouts.halfClosed as sD', async (t) => {
  const silent: Manner = (socket) => void socket.resume();
  const servers = await serve(t, ['s1'], silent, { allowHalfOpen: true });
  const config = settings(servers, { healthCheck: false }, { timeouts: { idle: '1h', halfClosed: '300ms' } });
  const berth = await start(t, config);
  const client = new Client({ port: await berth.port() });
  await client.finish();
  assert.equal((await berth.connections(1))[0]?.['end'], 'sD');
});

test('a client that does not finish after its server has ends after timeouts.halfClosed as cL', async (t) => {
  const brief: Manner = (socket) => void socket.end('bye');
  const servers = await serve(t, ['s1'], brief, { allowHalfOpen: true });
  const config = settings(servers, { healthCheck: false }, { timeouts: { idle: '1h', halfClosed: '300ms' } });
  const berth = await start(t, config);
  const client = new Client({ port: await berth.port() });
  assert.equal((await client.bytes(3)).toString(), 'bye');
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['out']], ['cL', 3]);
});

test('a connection on which something moves does not end, however long it lasts', async (t) => {
  const servers = await serve(t, ['s1'], mirrors);
  const berth = await start(t, settings(servers, { healthCheck: false }, { timeouts: { idle: '2s' } }));
  const port = await berth.port();
  const [busy, idle] = [new Client({ port }), new Client({ port })];
  idle.socket.write('.');
  let sent = 0;
  const beat = setInterval(() => {
    busy.socket.write('.');
    sent++;
  }, 50);
  t.after(() => clearInterval(beat));
  await idle.ended;
  await berth.metricIs(ended('cD'), 1);
  const soFar = sent;
  await busy.bytes(soFar + 1);
  clearInterval(beat);
  assert.equal(await busy.finish(), 'end');
  await berth.metricIs(ended('--'), 1);
});
