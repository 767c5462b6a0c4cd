/** A registry with token authentication: its storage is asked with a token, and without one no node goes down. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HealthCheckConfig } from '../../../src/config/schema.ts';
import { newProbe, type Probe, type ProbeResult } from '../../../src/pool/probe/probe.ts';
import { Tokens } from '../../../src/pool/probe/tokens.ts';
import { closedPort, listenRaw } from '../../support/listening.ts';
import { checkConfig } from '../../support/pool.ts';
import { tokens, tokenStand } from '../../support/token-registry.ts';
import { eventually } from '../../support/waiting.ts';

const TAGS = '/v2/berth/probe/tags/list';
const BASIC = `Basic ${Buffer.from('berth:secret').toString('base64')}`;
const KNOWN: ProbeResult = { ok: true, storage: { known: true } };

function storageCheck(options: object = {}): HealthCheckConfig {
  const storage = { repository: 'berth/probe', user: 'berth', passwordFile: 'p', ...options };
  const config = checkConfig({ type: 'registry', timeout: '5s', storage });
  assert.ok(config.storage !== false);
  if (config.storage.passwordFile) config.storage.passwordFile.content = 'secret';
  return config;
}

const ask = (probe: Probe, port: number, check: HealthCheckConfig, ended?: AbortSignal): Promise<ProbeResult> =>
  probe({ host: '127.0.0.1', port }, 'registry1', check, 'none', ended);

/** Why the storage is unknown of a node that is up. */
async function unknownBecause(port: number, reason: RegExp, check = storageCheck()): Promise<void> {
  const seen = await ask(newProbe(), port, check);
  assert.ok(seen.ok, JSON.stringify(seen));
  assert.ok(seen.storage?.known === false);
  assert.match(seen.storage.reason, reason);
  assert.ok(!seen.storage.reason.includes('secret') && !seen.storage.reason.includes(BASIC), seen.storage.reason);
}

test('one token is asked for, with the credentials, and all nodes of the backend are shown it for its life', async (t) => {
  const { port, asked, shown } = await tokenStand(t, tokens({ expires_in: 100 }));
  let nowMs = 0;
  const probe = newProbe({ now: () => nowMs });
  const check = storageCheck();
  const all = await Promise.all(Array.from({ length: 5 }, () => ask(probe, port, check)));
  assert.deepEqual(
    all,
    Array.from({ length: 5 }, () => KNOWN),
  );
  nowMs = 89_999;
  assert.deepEqual(await ask(probe, port, check), KNOWN);
  const question = `GET /token?service=s&scope=${encodeURIComponent('repository:berth/probe:pull')} ${BASIC}`;
  assert.deepEqual(asked, [question]);
  assert.deepEqual(new Set(shown), new Set([`${TAGS} Bearer t1`]));
  nowMs = 90_000;
  assert.deepEqual(await ask(probe, port, check), KNOWN);
  assert.deepEqual([asked.length, shown.at(-1)], [2, `${TAGS} Bearer t2`]);
});

test('a token may be called access_token, and lives for a minute where nothing else is said', async (t) => {
  let given = 0;
  const { port, asked } = await tokenStand(t, (_, response) => void response.end(`{"access_token":"t${++given}"}`));
  let nowMs = 0;
  const probe = newProbe({ now: () => nowMs });
  const check = storageCheck();
  for (const at of [0, 53_999, 54_000]) {
    nowMs = at;
    assert.deepEqual(await ask(probe, port, check), KNOWN);
  }
  assert.equal(asked.length, 2);
});

test('without a user, a token for anybody is asked for', async (t) => {
  const { port, asked } = await tokenStand(t, tokens());
  assert.deepEqual(await ask(newProbe(), port, storageCheck({ user: undefined, passwordFile: undefined })), KNOWN);
  assert.match(asked[0] ?? '', / -$/);
});

test('a token that a node refuses is replaced, and not more often than the token server can bear', async (t) => {
  const { port, asked } = await tokenStand(t, tokens(), (token) => token === 't2');
  let nowMs = 0;
  const probe = newProbe({ now: () => nowMs });
  const check = storageCheck();
  const refused = await ask(probe, port, check);
  assert.ok(refused.ok && refused.storage?.known === false);
  assert.match(refused.storage.reason, /answered 401: the node refuses the token; compare/);
  for (nowMs of [1, 5_000, 9_999]) await ask(probe, port, check);
  assert.equal(asked.length, 1);
  nowMs = 10_000;
  assert.deepEqual(await ask(probe, port, check), KNOWN);
  assert.equal(asked.length, 2);
});

test('credentials that the token server refuses leave the node up, and are tried again ten seconds later', async (t) => {
  let status = 401;
  const { port, asked } = await tokenStand(t, (request, response) => {
    if (status === 200) tokens()(request, response);
    else response.writeHead(status).end('secret');
  });
  let nowMs = 0;
  const probe = newProbe({ now: () => nowMs });
  const check = storageCheck();
  const seen = await ask(probe, port, check);
  assert.ok(seen.ok && seen.storage?.known === false);
  assert.match(seen.storage.reason, /refuses the user \(401\): user or passwordFile is missing or wrong$/);
  status = 200;
  nowMs = 9_999;
  assert.deepEqual(await ask(probe, port, check), seen);
  nowMs = 10_000;
  assert.deepEqual(await ask(probe, port, check), KNOWN);
  assert.equal(asked.length, 2);
});

test('whatever else a token server does, the node stays up and the reason says what it did', async (t) => {
  for (const [status, body, reason] of [
    [503, '', /token server at http:\/\/127\.0\.0\.1:\d+\/token answered 503; its log says why$/],
    [302, '', /answered 302, and Berth takes the password nowhere else$/],
    [200, 'nonsense', /answered 200 without a token$/],
    [200, 'null', /without a token$/],
    [200, '{"token":5}', /without a token$/],
    [200, JSON.stringify({ token: 'a\r\nX-Evil: b' }), /without a token$/],
    [200, JSON.stringify({ token: 'a'.repeat(70_000) }), /without a token$/],
  ] as const) {
    const { port } = await tokenStand(t, (_, response) => {
      response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end(body);
    });
    await unknownBecause(port, reason);
  }
});

test('a token server that is away, hangs, hangs up or says no HTTP is at fault, and its time is not the node’s', async (t) => {
  const realms: [() => Promise<number>, RegExp][] = [
    [closedPort, /: connection refused$/],
    [() => listenRaw(t, () => {}), /did not answer in time$/],
    [
      () => listenRaw(t, (socket) => socket.once('data', () => socket.end())),
      /closed before the whole answer was there/,
    ],
    [() => listenRaw(t, (socket) => socket.once('data', () => socket.end('hello\r\n\r\n'))), /the answer is not HTTP/],
  ];
  for (const [start, reason] of realms) {
    const at = await start();
    const { port } = await tokenStand(t, tokens(), undefined, () => `http://127.0.0.1:${at}/token`);
    await unknownBecause(port, reason, { ...storageCheck(), timeout: 500 });
  }
});

test('a realm that is no URL, or none of the web, is not asked', async (t) => {
  for (const [realm, reason] of [
    ['nowhere', /sends its clients for a token to "nowhere", which is no URL/],
    ['file:///etc/passwd', /to file:, which is neither https nor http/],
    ['unix:/run/docker.sock', /to unix:, which is neither https nor http/],
    ['http://u:pw@127.0.0.1/', /a URL with a user/],
    ['http://does-not-exist.invalid/', /its name does not resolve/],
    ['http://[::1', /which is no URL/],
  ] as const) {
    const { port } = await tokenStand(t, tokens(), undefined, () => realm);
    await unknownBecause(port, reason);
  }
});

test('a check that ends no longer waits for the token server, and the next one asks it again', async (t) => {
  const { port, asked } = await tokenStand(t, (request, response) => {
    if (asked.length > 1) tokens()(request, response);
  });
  const probe = newProbe();
  const check = { ...storageCheck(), timeout: 60_000 };
  const ended = new AbortController();
  const first = ask(probe, port, check, ended.signal);
  await eventually('the token server to be asked', () => asked.length === 1);
  ended.abort();
  await first;
  assert.deepEqual(await ask(probe, port, check), KNOWN);
  assert.equal(asked.length, 2);
});

test('tokens are kept for a few realms alone, however many a node names', async (t) => {
  const { asked, realm } = await tokenStand(t, tokens());
  const kept = new Tokens(storageCheck());
  const get = (i: number) => kept.get({ realm: `${realm}/${i}`, service: undefined, error: undefined });
  for (let i = 0; i <= 8; i++) assert.equal((await get(i)).kind, 'token');
  await get(8);
  assert.equal(asked.length, 9);
  await get(0);
  assert.equal(asked.length, 10);
});
