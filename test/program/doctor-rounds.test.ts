/** The rounds of the doctor hold nobody up, whatever the nodes do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { api, reload, setState } from '../support/operator.ts';
import { hangs, serve, type Manner } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Answers whoever says a word, but never a TLS handshake. */
const hangsInTls: Manner = (socket, { name }) => {
  socket.on('data', (bytes) => {
    if (bytes[0] !== 0x16) socket.write(`${name}\n`);
  });
};

const ROUNDS = { doctor: { interval: '1s', name: 'registry.test' } };

type Doctor = { backend: string; lastRun: string | null; skipped: string | null; findings: { code: string }[] } | null;

async function seen(berth: Berth): Promise<Doctor> {
  return ((await api(berth, 'GET', '/api/v1/status')).body as { doctor: Doctor }).doctor;
}

/** A round is under way: a node that says nothing has a connection that is no client's and no check's. */
async function roundAt(servers: Awaited<ReturnType<typeof serve>>): Promise<void> {
  await eventually('a round', () => servers.some((server) => server.sockets.size > 0));
}

test('a node that hangs holds up neither clients, nor checks, nor answers, nor the end', async (t) => {
  const servers = await serve(t, ['s1', 's2'], hangsInTls);
  const berth = await start(t, settings(servers, { healthCheck: false }, ROUNDS));
  await roundAt(servers);
  const started = performance.now();
  for (let i = 0; i < 20; i++) {
    const client = new Client({ port: await berth.port() });
    client.socket.write('hello');
    assert.match(await client.line(), /^s[12]$/);
    await client.finish();
  }
  assert.equal((await berth.get('/readyz')).status, 200);
  assert.deepEqual((await seen(berth))?.findings, [], 'the round is still under way');
  const served = performance.now() - started;
  assert.ok(served < 5_000, `20 visits took ${served} ms, as long as the doctor waits for a node`);
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.equal(berth.lines.at(-1)?.msg, 'stopped');
});

test('nodes that never answer are a finding, told once, and no round follows before the last has ended', async (t) => {
  const servers = await serve(t, ['s1'], hangs);
  const berth = await start(t, settings(servers, { healthCheck: false }, ROUNDS));
  const finding = await berth.line(({ event }) => event === 'doctor_finding');
  assert.deepEqual([finding['code'], finding['where'], finding['gravity']], ['TLS_HANDSHAKE', 's1', 'FAIL']);
  await eventually('another round', () => servers[0]!.sockets.size > 0);
  assert.equal(servers[0]!.sockets.size, 1);
  assert.equal(berth.lines.filter(({ event }) => event === 'doctor_finding').length, 1);
  assert.equal(await berth.metric('berth_doctor_findings{backend="b",code="TLS_HANDSHAKE",level="FAIL"}'), 1);
});

test('a round is given up where a server is not ready, and told so once', async (t) => {
  const servers = await serve(t, ['s1', 's2'], hangs);
  const berth = await start(t, settings(servers, { healthCheck: false }, ROUNDS));
  await roundAt(servers);
  await setState(berth, 's2', 'maint');
  const line = await berth.line(({ event }) => event === 'doctor_skipped');
  assert.equal(line['reason'], 's2 is in maint');
  assert.equal((await seen(berth))?.skipped, 's2 is in maint');
});

test('a reload stops the rounds, changes them, and begins them', async (t) => {
  const servers = await serve(t, ['s1'], hangs);
  const plain = settings(servers, { healthCheck: false });
  const berth = await start(t, plain);
  assert.equal(await seen(berth), null);
  assert.equal(servers[0]!.sockets.size, 0);
  assert.equal((await reload(berth, { ...plain, ...ROUNDS })).msg, 'reloaded');
  assert.equal((await seen(berth))?.backend, 'b');
  await roundAt(servers);
  const nameless = await reload(berth, { ...plain, doctor: { interval: '1s' } });
  assert.match(JSON.stringify(nameless['problems']), /name is missing/);
  assert.equal((await seen(berth))?.backend, 'b', 'the old configuration stays in force');
  assert.equal((await reload(berth, plain)).msg, 'reloaded');
  assert.equal(await seen(berth), null);
  await eventually('the round to end', () => servers[0]!.sockets.size === 0);
});
