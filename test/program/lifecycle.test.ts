import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { start, type Berth, type LogLine } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { status } from '../support/operator.ts';
import { hangs, mirrors, serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Resolves when the balancer's port refuses. */
async function refuses(port: number): Promise<void> {
  await eventually('the port to refuse', async () => {
    const client = new Client({ port });
    client.socket.once('connect', () => client.socket.destroy());
    return (await client.ended) === 'refused';
  });
}

/** The line of that client; the others are those that looked whether the port refuses, while it did not yet. */
function ended(berth: Berth, localPort: number | undefined): LogLine | undefined {
  return berth.lines.find(({ msg, client }) => msg === 'connection' && String(client).endsWith(`:${localPort}`));
}

/** A running balancer in front of one server, and a client that has been answered. */
async function withClient(t: TestContext, rest = {}): Promise<{ berth: Berth; port: number; client: Client }> {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers, {}, rest));
  const port = await berth.port();
  const client = new Client({ port });
  await client.line();
  return { berth, port, client };
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} stops accepting, lets the connections inside finish, and ends with 0`, async (t) => {
    const { berth, port, client } = await withClient(t);
    const { localPort } = client.socket;
    assert.equal((await berth.get('/readyz')).status, 200);
    berth.signal(signal);
    await refuses(port);
    const ready = await berth.get('/readyz');
    assert.deepEqual([ready.status, ready.text], [503, 'not ready: draining\n']);
    assert.equal((await berth.get('/healthz')).status, 200, 'it is well, only not ready');
    client.socket.write('still here');
    assert.equal((await client.bytes('s1\nstill here'.length)).toString(), 's1\nstill here');
    assert.equal(await client.finish(), 'end');
    assert.equal(await berth.exitCode(), 0);
    assert.equal(ended(berth, localPort)?.['end'], '--');
    assert.equal(berth.lines.at(-1)?.msg, 'stopped');
    assert.equal(berth.stderr, '');
  });
}

test('without connections SIGTERM ends the program at once', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
});

test('the drain timeout ends the connections that are left, on behalf of the operator', async (t) => {
  const { berth, client } = await withClient(t, { timeouts: { drain: '200ms' } });
  berth.signal('SIGTERM');
  await client.ended;
  assert.equal(await berth.exitCode(), 0);
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server'], line?.['out']], ['KD', 's1', 3]);
});

test('a second signal ends the connections at once', async (t) => {
  const { berth, port, client } = await withClient(t, { timeouts: { drain: '1h' } });
  const { localPort } = client.socket;
  berth.signal('SIGTERM');
  await refuses(port);
  berth.signal('SIGTERM');
  await client.ended;
  assert.equal(await berth.exitCode(), 0);
  assert.equal(ended(berth, localPort)?.['end'], 'KD');
});

const LAME = { timeouts: { lameDuck: '1h' } };

test('a lame duck is not ready, and still serves who comes; a reload finds it leaving', async (t) => {
  const { berth, port, client } = await withClient(t, LAME);
  berth.signal('SIGTERM');
  const line = await berth.line(({ msg }) => msg === 'lame duck: accepting, but not ready');
  assert.deepEqual([line['reason'], line['connections'], line['lameDuckMs']], ['SIGTERM', 1, 3_600_000]);
  assert.deepEqual(await berth.get('/readyz'), { status: 503, text: 'not ready: lame-duck\n' });
  assert.equal((await berth.get('/healthz')).status, 200);
  const late = new Client({ port });
  assert.equal(await late.line(), 's1');
  assert.equal((await status(berth)).stage, 'lame-duck');
  berth.signal('SIGHUP');
  assert.equal((await berth.line(({ msg }) => msg === 'no reload'))['stage'], 'lame-duck');
  for (const each of [late, client]) assert.equal(await each.finish(), 'end');
});

test('a second signal ends a lame duck at once, and the connections with it', async (t) => {
  const { berth, client } = await withClient(t, LAME);
  berth.signal('SIGTERM');
  await berth.line(({ msg }) => msg.startsWith('lame duck'));
  berth.signal('SIGTERM');
  await client.ended;
  assert.equal(await berth.exitCode(), 0);
  assert.deepEqual(
    berth.lines.slice(-3).map(({ msg }) => msg),
    ['connection', 'session', 'stopped'],
  );
});

test('after timeouts.lameDuck it drains as without', async (t) => {
  const { berth, port, client } = await withClient(t, { timeouts: { lameDuck: '300ms' } });
  berth.signal('SIGTERM');
  const from = await berth.line(({ msg }) => msg.startsWith('lame duck'));
  const until = await berth.line(({ msg }) => msg === 'draining');
  assert.ok(Date.parse(String(until['time'])) - Date.parse(String(from['time'])) >= 290);
  await refuses(port);
  client.socket.write('still here');
  assert.equal((await client.bytes('s1\nstill here'.length)).toString(), 's1\nstill here');
  assert.equal(await client.finish(), 'end');
  assert.equal(await berth.exitCode(), 0);
});

test('neither a check that is under way nor a name that does not resolve holds the end up', async (t) => {
  const servers = await serve(t, ['s1'], hangs);
  const slow = { healthCheck: { type: 'http', timeout: '1h' } };
  const berth = await start(t, settings(servers, slow));
  await eventually('the check to be under way', () => servers[0]?.sockets.size === 1 || undefined);
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
});

test('a second signal does not wait for a client that reads nothing', async (t) => {
  const servers = await serve(t, ['s1'], mirrors);
  const berth = await start(t, settings(servers, {}, { timeouts: { drain: '1h' } }));
  const port = await berth.port();
  const client = new Client({ port });
  client.socket.pause();
  client.socket.write(Buffer.alloc(32 << 20));
  await berth.metricIs('berth_server_bytes_out_total{backend="b",server="s1"}', (bytes) => bytes > 1 << 20);
  berth.signal('SIGTERM');
  await refuses(port);
  berth.signal('SIGINT');
  assert.equal(await berth.exitCode(), 0);
  client.socket.destroy();
});

test('connections that wait in the accept backlog at SIGTERM are served, not reset', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  // While it is stopped the kernel takes connections on its behalf.
  berth.signal('SIGSTOP');
  const clients = Array.from({ length: 200 }, () => new Client({ port }));
  await Promise.all(clients.map(({ socket }) => once(socket, 'connect')));
  for (const { socket } of clients) socket.write('hello');
  berth.signal('SIGTERM');
  berth.signal('SIGCONT');
  const answers = await Promise.all(clients.map((client) => client.bytes('s1\nhello'.length)));
  assert.equal(answers.filter((answer) => answer.toString() === 's1\nhello').length, 200);
  await Promise.all(clients.map((client) => client.finish()));
  assert.equal(await berth.exitCode(), 0);
  const ends = (await berth.connections(200)).map(({ end }) => end);
  assert.deepEqual([...new Set(ends)], ['--']);
});

test('a connection that is being made at SIGTERM is made', async (t) => {
  const servers = await serve(t, ['s2']);
  const berth = await start(t, settings(['127.0.0.1:1', ...servers], { healthCheck: false }));
  const client = new Client({ port: await berth.port() });
  await once(client.socket, 'connect');
  berth.signal('SIGTERM');
  assert.equal(await client.line(), 's2');
  await client.finish();
  assert.equal(await berth.exitCode(), 0);
});

test('service goes on when nobody reads standard output any more, and a drain still ends with 0', async (t) => {
  const { berth, port, client } = await withClient(t);
  berth.closeStandardOutput();
  for (let i = 0; i < 50; i++) {
    const more = new Client({ port });
    assert.equal(await more.line(), 's1');
    await more.finish();
  }
  // Each scrape is later than the flush of what is above.
  await berth.metricIs('berth_backend_connections_ended_total{backend="b",end="--"}', 50);
  client.socket.write('still here');
  await client.bytes('s1\nstill here'.length);
  await client.finish();
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.equal(berth.stderr, '');
});

test('service goes on when the reader of standard output has stopped reading', async (t) => {
  const servers = await serve(t, ['s1'], hangs);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  berth.pauseStandardOutput();
  // More lines than a pipe and its reader's buffer hold.
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 100 }, () => new Client({ port }));
    await Promise.all(clients.map((client) => client.finish()));
  }
  await berth.metricIs('berth_backend_connections_ended_total{backend="b",end="--"}', 2_000);
  berth.resumeStandardOutput();
  assert.equal((await berth.connections(2_000)).length, 2_000);
});

test('log.connections: false leaves the connection lines out and keeps the rest', async (t) => {
  const { berth, client } = await withClient(t, { log: { connections: false } });
  await client.finish();
  await berth.metricIs('berth_backend_connections_ended_total{backend="b",end="--"}', 1);
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  const messages = berth.lines.map(({ msg }) => msg);
  assert.equal(messages.includes('connection'), false);
  assert.deepEqual(messages.slice(-2), ['draining', 'stopped']);
});

test('log.level: error says nothing as long as all is well', async (t) => {
  const servers = await serve(t, ['s1']);
  const path = `/tmp/berth-quiet-${process.pid}.sock`;
  const config = settings(servers, {}, { log: { level: 'error' } }, { bind: `unix:${path}` });
  const berth = await start(t, config, { quiet: true });
  const client = await eventually('it to listen', async () => {
    const one = new Client({ path });
    return (await one.line().catch(() => undefined)) === 's1' ? one : undefined;
  });
  await client.finish();
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.deepEqual([berth.lines, berth.stderr], [[], '']);
});
