import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { blackhole, mirrors, refusing, serve, type Manner } from '../support/servers.ts';
import { RARE_CHECKS, settings } from '../support/settings.ts';

const CLIENT = '127.0.20.1';

const server = (what: string, name = 's1', more = ''): string =>
  `berth_server_${what}{backend="b",server="${name}"${more}}`;
const backend = (what: string, more = ''): string => `berth_backend_${what}{backend="b"${more}}`;
const passed = (name: string): string => server('checks_total', name, ',result="passed"');

test('a client whose server refuses gets the same bytes from another one, and its binding moves', async (t) => {
  const servers = await serve(t, ['s1', 's2'], mirrors);
  const berth = await start(t, settings(servers, RARE_CHECKS));
  await berth.metricIs(passed('s1'), 1);
  await berth.metricIs(passed('s2'), 1);
  const port = await berth.port();
  const talk = async (): Promise<void> => {
    const client = new Client({ port, from: CLIENT });
    const sent = randomBytes(300_000);
    client.socket.end(sent);
    assert.ok((await client.bytes(sent.length)).equals(sent));
    assert.equal(await client.ended, 'end');
  };
  await talk();
  await servers[0]?.close();
  await talk();
  await talk();
  const [first, moved, after] = await berth.connections(3);
  assert.deepEqual([first?.['server'], first?.['via'], first?.['retries']], ['s1', 'balanced', 0]);
  assert.deepEqual([moved?.['server'], moved?.['via'], moved?.['retries']], ['s2', 'redispatched', 1]);
  assert.deepEqual([after?.['server'], after?.['via'], after?.['retries']], ['s2', 'stuck', 0]);
  for (const line of [first, moved, after]) assert.deepEqual([line?.['in'], line?.['out']], [300_000, 300_000]);
  assert.equal(await berth.metric('berth_stick_table_moves_total{backend="b"}'), 1);
  assert.equal(await berth.metric(backend('redispatches_total')), 1);
  assert.equal(await berth.metric(backend('retries_total')), 1);
  assert.equal(await berth.metric(server('connect_errors_total', 's1', ',reason="refused"')), 1);
});

test('parallel connections of a client whose server refuses agree on the next one', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3', 's4']);
  const berth = await start(t, settings(servers, RARE_CHECKS));
  await berth.metricIs(passed('s1'), 1);
  const port = await berth.port();
  assert.equal((await visit(berth, { port, from: CLIENT })).answered, 's1');
  await servers[0]?.close();
  const clients = Array.from({ length: 16 }, () => new Client({ port, from: CLIENT }));
  const answers = new Set(await Promise.all(clients.map((client) => client.line())));
  assert.equal(answers.size, 1, [...answers].join());
  assert.equal((await visit(berth, { port, from: CLIENT })).answered, [...answers][0]);
  assert.equal(await berth.metric('berth_stick_table_moves_total{backend="b"}'), 1);
  await Promise.all(clients.map((client) => client.finish()));
});

test('parallel first connections agree even where the server they are given refuses', async (t) => {
  const servers = await serve(t, ['s2', 's3', 's4']);
  const config = settings([await refusing(), ...servers], { healthCheck: false });
  const berth = await start(t, config);
  const port = await berth.port();
  for (let burst = 0; burst < 20; burst++) {
    const clients = Array.from({ length: 8 }, () => new Client({ port, from: `127.4.${burst}.1` }));
    const answers = new Set(await Promise.all(clients.map((client) => client.line())));
    assert.equal(answers.size, 1, [...answers].join());
    await Promise.all(clients.map((client) => client.finish()));
  }
});

test('where no server is usable the client is reset at once, and that is counted', async (t) => {
  const berth = await start(t, settings([await refusing(), await refusing()]));
  await berth.metricIs(server('up', 's1'), 0);
  await berth.metricIs(server('up', 's2'), 0);
  const client = new Client({ port: await berth.port() });
  assert.equal(await client.ended, 'reset');
  const [line] = await berth.connections(1);
  assert.equal(line?.['end'], 'SC');
  assert.equal(line?.['retries'], 0);
  assert.equal('server' in (line ?? {}), false, 'there was none');
  assert.equal(await berth.metric(backend('connections_ended_total', ',end="SC"')), 1);
  assert.equal((await berth.get('/readyz')).status, 503);
  assert.equal((await berth.get('/healthz')).status, 200);
});

test('when every server refuses, the attempts that were made are the retries that are logged', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { healthCheck: { interval: '1h', fall: 1 } }));
  await berth.metricIs(passed('s1'), 1);
  await berth.metricIs(passed('s2'), 1);
  for (const each of servers) await each.close();
  const client = new Client({ port: await berth.port() });
  assert.equal(await client.ended, 'reset');
  const [line] = await berth.connections(1);
  assert.equal(line?.['end'], 'SC');
  assert.equal(line?.['retries'], 1, 's1, then s2, and then none was left');
  assert.equal(await berth.metric(backend('retries_total')), 1);
});

test('a connection gives up after as many further attempts as `retries` says', async (t) => {
  const nobody = await Promise.all([refusing(), refusing(), refusing()]);
  const berth = await start(t, settings(nobody, { retries: 1, healthCheck: false }));
  const client = new Client({ port: await berth.port() });
  assert.equal(await client.ended, 'reset');
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server'], line?.['retries']], ['SC', 's2', 1]);
  assert.equal(await berth.metric(server('connect_errors_total', 's1', ',reason="refused"')), 1);
  assert.equal(await berth.metric(server('connect_errors_total', 's2', ',reason="refused"')), 1);
  assert.equal(await berth.metric(server('connect_errors_total', 's3', ',reason="refused"')), 0);
});

test('a server that does not answer is left for the next one after the connect timeout', async (t) => {
  const [second] = await serve(t, ['s2']);
  const config = settings(
    [await blackhole(t), second?.address ?? ''],
    { healthCheck: false },
    { timeouts: { connect: '300ms' } },
  );
  const berth = await start(t, config);
  const line = await visit(berth, { port: await berth.port(), from: CLIENT });
  assert.equal(line.answered, 's2');
  assert.deepEqual([line['via'], line['retries']], ['redispatched', 1]);
  assert.equal(await berth.metric(server('connect_errors_total', 's1', ',reason="timeout"')), 1);
  assert.equal((await visit(berth, { port: await berth.port(), from: CLIENT }))['via'], 'stuck');
});

test('a connection that no server answers in time ends as a server-side timeout', async (t) => {
  const config = settings([await blackhole(t)], { healthCheck: false, retries: 0 }, { timeouts: { connect: '100ms' } });
  const berth = await start(t, config);
  const client = new Client({ port: await berth.port() });
  assert.equal(await client.ended, 'reset');
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server'], line?.['retries']], ['sC', 's1', 0]);
});

test('bytes that a client sent early are counted for the server that got them, not for one that never answered', async (t) => {
  const [second] = await serve(t, ['s2']);
  const config = settings(
    [await blackhole(t), second?.address ?? ''],
    { healthCheck: false },
    { timeouts: { connect: '1500ms' } },
  );
  const berth = await start(t, config);
  const client = new Client({ port: await berth.port() });
  client.socket.write('early bird');
  assert.equal((await client.bytes('s2\nearly bird'.length)).toString(), 's2\nearly bird');
  assert.equal(await berth.metric(server('bytes_in_total', 's1')), 0);
  assert.equal(await berth.metric(server('bytes_in_total', 's2')), 'early bird'.length);
  await client.finish();
});

test('a client that leaves while its server is dialled ends the attempt', async (t) => {
  const berth = await start(t, settings([await blackhole(t)], { healthCheck: false }));
  const client = new Client({ port: await berth.port() });
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 1);
  client.socket.resetAndDestroy();
  const [line] = await berth.connections(1);
  assert.equal(line?.['end'], 'CC');
  assert.equal(await berth.metric('berth_frontend_connections{frontend="f"}'), 0);
});

test('one failed connect does not keep clients away from a server that answers again', async (t) => {
  const limp: Manner = (socket, { name }) => socket.end(`${name}\n`);
  const servers = await serve(t, ['s1'], limp);
  const berth = await start(t, settings(servers, RARE_CHECKS));
  await berth.metricIs(passed('s1'), 1);
  await servers[0]?.close();
  const refused = new Client({ port: await berth.port() });
  await berth.metricIs(server('connect_errors_total', 's1', ',reason="refused"'), (count) => count >= 1);
  await servers[0]?.open();
  // The only server there is was tried again a second later.
  assert.equal(await refused.line(), 's1');
  await refused.finish();
  const line = (await berth.connections(1))[0];
  assert.equal(line?.['via'], 'balanced');
  assert.equal(line?.['retries'], 1);
  assert.equal(await berth.metric(backend('redispatches_total')), 0);
});
