import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { test } from 'node:test';
import { start, type LogLine } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { refusing, serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';

const FAST = { interval: '50ms', fastInterval: '20ms', timeout: '5s' };

const up = (name: string): string => `berth_server_up{backend="b",server="${name}"}`;
const checks = (name: string, result: 'passed' | 'failed'): string =>
  `berth_server_checks_total{backend="b",server="${name}",result="${result}"}`;
const says =
  (msg: string, server = 's1') =>
  (line: LogLine) =>
    line.msg === msg && line['server'] === server;

/** An HTTP node whose answers the test decides: a status for each path, 404 for the rest. */
async function node(
  t: { after(end: () => void): void },
  statuses: Record<string, number>,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    response.writeHead(statuses[request.url ?? ''] ?? 404).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return { server, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

test('the first failed check of a fresh start marks a server down at once, however many `fall` asks for', async (t) => {
  const berth = await start(
    t,
    settings([await refusing()], { healthCheck: { interval: '1h', fastInterval: '1h', fall: 9 } }),
  );
  const line = await berth.line(says('server down'));
  assert.equal(line['reason'], 'connection refused');
  assert.equal(line['backend'], 'b');
  assert.equal(line.level, 'warn');
  assert.equal(await berth.metric(up('s1')), 0);
  assert.equal(await berth.metric(checks('s1', 'failed')), 1);
});

test('a server goes down after `fall` failed checks, comes back after `rise` good ones, and its clients with it', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { healthCheck: { ...FAST, fall: 3, rise: 4 } }));
  const port = await berth.port();
  assert.equal((await visit(berth, { port, from: '127.0.30.1' })).answered, 's1');
  await berth.metricIs(checks('s1', 'passed'), (count) => count > 0);
  await servers[0]?.close();
  const down = await berth.line(says('server down'));
  assert.equal(down['reason'], 'connection refused');
  assert.equal(await berth.metric(checks('s1', 'failed')).then((count) => (count ?? 0) >= 3), true);
  assert.equal((await visit(berth, { port, from: '127.0.30.2' })).answered, 's2', 'new clients go elsewhere');

  const before = (await berth.metric(checks('s1', 'passed'))) ?? 0;
  await servers[0]?.open();
  const back = await berth.line(says('server up'));
  assert.equal(typeof back['downMs'], 'number');
  assert.ok(((await berth.metric(checks('s1', 'passed'))) ?? 0) >= before + 4);
  assert.equal(await berth.metric(up('s1')), 1);
  assert.equal((await visit(berth, { port, from: '127.0.30.1' }))['via'], 'stuck', 'it was away while s1 was down');
  const fresh = [await visit(berth, { port, from: '127.0.30.3' }), await visit(berth, { port, from: '127.0.30.4' })];
  assert.deepEqual(fresh.map(({ answered }) => answered).toSorted(), ['s1', 's2']);
});

test('an http check that does not like the answer takes the server down and says why', async (t) => {
  const statuses = { '/health': 200 };
  const { port } = await node(t, statuses);
  const berth = await start(
    t,
    settings([port], { healthCheck: { type: 'http', path: '/health', expect: [200], ...FAST } }),
  );
  await berth.metricIs(checks('s1', 'passed'), (count) => count >= 2);
  assert.equal(await berth.metric(up('s1')), 1);
  statuses['/health'] = 500;
  assert.equal((await berth.line(says('server down')))['reason'], "GET /health answered 500; the node's log says why");
  statuses['/health'] = 200;
  await berth.line(says('server up'));
});

test('a registry check takes 200 and 401 for up and nothing else', async (t) => {
  const statuses = { '/v2/': 401 };
  const { port } = await node(t, statuses);
  const berth = await start(t, settings([port], { healthCheck: { type: 'registry', ...FAST } }));
  await berth.metricIs(checks('s1', 'passed'), (count) => count >= 2);
  for (const [status, remedy] of [
    [503, "the node's log says why"],
    [400, '200 and 401 are right: look whether a registry listens there'],
    [302, 'Berth follows no redirect: set what it leads to'],
  ] as const) {
    const seen = berth.lines.length;
    statuses['/v2/'] = status;
    const { reason } = await berth.line(says('server down'), seen);
    assert.equal(reason, `GET /v2/ answered ${status}; ${remedy}`);
    statuses['/v2/'] = 200;
    await berth.line(says('server up'), seen);
  }
});

test('a server that takes the connection of a check and says nothing is down after the timeout of the check', async (t) => {
  const servers = await serve(t, ['s1'], (socket) => void socket.resume());
  const config = settings(servers, { healthCheck: { type: 'http', interval: '50ms', timeout: '200ms' } });
  const berth = await start(t, config);
  assert.equal((await berth.line(says('server down')))['reason'], 'no answer within 200ms');
});

test('a connect that fails brings the next check forward', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { healthCheck: { interval: '1h', fastInterval: '1h', fall: 2 } }));
  await berth.metricIs(checks('s1', 'passed'), 1);
  await berth.metricIs(checks('s2', 'passed'), 1);
  await servers[0]?.close();
  const line = await visit(berth, { port: await berth.port() });
  assert.equal(line.answered, 's2');
  // The failed connect was one failure, the check that it brought forward the second: without it that is an hour away.
  await berth.line(says('server down'));
  assert.equal(await berth.metric(checks('s1', 'failed')), 1);
});

test('a name that does not resolve is a server that is down, and no refusal to start', async (t) => {
  const servers = await serve(t, ['s2']);
  const berth = await start(t, settings(['nobody.invalid:5000', ...servers]));
  const down = await berth.line(says('server down'));
  assert.match(
    String(down['reason']),
    /^nobody\.invalid does not resolve: (the name does not exist|no nameserver answers)/,
  );
  assert.equal(await berth.metric(up('s1')), 0);
  const line = await visit(berth, { port: await berth.port() });
  assert.deepEqual([line.answered, line['retries']], ['s2', 0]);
  assert.equal((await berth.get('/readyz')).status, 200);
});

test('a balancer whose names all fail to resolve starts, is not ready, and resets its clients', async (t) => {
  const berth = await start(t, settings(['nobody.invalid:5000']));
  assert.equal((await berth.get('/readyz')).status, 503);
  const client = new Client({ port: await berth.port() });
  assert.equal(await client.ended, 'reset');
  assert.equal((await berth.connections(1))[0]?.['end'], 'SC');
});

test('with healthCheck: false nothing is checked, and a server that refused is tried again by the next client', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { healthCheck: false }));
  const port = await berth.port();
  await servers[0]?.close();
  assert.equal((await visit(berth, { port, from: '127.0.31.1' })).answered, 's2');
  assert.equal(await berth.metric(up('s1')), 1);
  await servers[0]?.open();
  const answers = [];
  for (const last of [2, 3]) answers.push((await visit(berth, { port, from: `127.0.31.${last}` })).answered);
  assert.deepEqual(answers.toSorted(), ['s1', 's2']);
  assert.equal(await berth.metric(checks('s1', 'passed')), 0);
  assert.equal(servers[0]?.accepted, 1, 'the client, and no check');
});
