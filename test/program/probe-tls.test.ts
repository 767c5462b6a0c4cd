import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { newProbe, type ProbeResult } from '../../src/pool/probe/probe.ts';
import { Authority, type Certificate } from '../support/authority.ts';
import { closedPort, listen, listenRaw } from '../support/listening.ts';
import { checkConfig } from '../support/pool.ts';

const probe = newProbe();

const [authority, stranger] = [Authority.ofFile(), Authority.ofFile()];

const good = authority.sign('DNS:registry1');
const EXPIRY = Date.UTC(2040, 0, 1) / 1_000;
const expired = authority.sign('DNS:registry1', '20200101000000Z', '20210101000000Z');
const EXPIRED =
  'TLS: the certificate, or one that signs it, has expired; renew the certificate and restart the node, ' +
  'which reads it only when it starts';
const EARLY =
  'TLS: the certificate, or one that signs it, is not yet valid; set the clocks of this machine and of the one that ' +
  'issued it';
const early = authority.sign('DNS:registry1', '20390101000000Z');

type Tls = { serverName?: string; verify?: boolean; ca?: string };

/** Checks 127.0.0.1 as the node `name`; `ca` is the content of a file, as loading puts it there. */
function check(port: number, { ca, ...tls }: Tls, name = 'registry1', options: object = {}): Promise<ProbeResult> {
  const config = checkConfig({ tls: { ...tls, ...(ca === undefined ? {} : { ca: 'ca.pem' }) }, ...options });
  assert.ok(config.tls !== false);
  if (config.tls.ca) config.tls.ca.content = ca ?? '';
  return probe({ host: '127.0.0.1', port }, name, config);
}

const serve = (t: TestContext, certificate: Certificate): Promise<number> =>
  listen(
    t,
    createTlsServer(certificate, (socket) => socket.on('error', () => {}).resume()),
  );
const up = (certificateExpiry: number): ProbeResult => ({ ok: true, certificateExpiry });
const down = (reason: string, certificateExpiry?: number): ProbeResult => ({
  ok: false,
  reason,
  ...(certificateExpiry === undefined ? {} : { certificateExpiry }),
});

test('a certificate that the authority signed for the name is up, and its expiry is known', async (t) => {
  assert.deepEqual(await check(await serve(t, good), { ca: authority.ca }), up(EXPIRY));
});

test('without verification any certificate is up, and its expiry is known all the same', async (t) => {
  assert.deepEqual(await check(await serve(t, good), {}), up(EXPIRY));
  assert.deepEqual(await check(await serve(t, good), { ca: stranger.ca, verify: false }), up(EXPIRY));
  assert.deepEqual(await check(await serve(t, expired), {}), up(Date.UTC(2021, 0, 1) / 1_000));
});

test('an expired certificate is down, and its expiry is known', async (t) => {
  const result = await check(await serve(t, expired), { ca: authority.ca });
  assert.deepEqual(result, down(EXPIRED, Date.UTC(2021, 0, 1) / 1_000));
});

test('a certificate of the future is down', async (t) => {
  assert.deepEqual(await check(await serve(t, early), { ca: authority.ca }), down(EARLY, EXPIRY));
});

test('a self-signed certificate is down, unless it is the one that is trusted', async (t) => {
  const self = authority.selfSigned('DNS:registry1');
  const result = await check(await serve(t, self), { ca: authority.ca });
  assert.ok(!result.ok && result.certificateExpiry !== undefined);
  assert.match(result.reason, /^TLS: the certificate is self-signed; set healthCheck\.tls\.ca to/);
  assert.equal((await check(await serve(t, self), { ca: self.cert })).ok, true);
});

test('a certificate of another authority is down, of a known one or of the system', async (t) => {
  const reason =
    'TLS: the certificate is signed by an unknown authority; set healthCheck.tls.ca to the file of its authority, ' +
    'and let the node send its intermediate certificates';
  assert.deepEqual(await check(await serve(t, good), { ca: stranger.ca }), down(reason, EXPIRY));
  assert.deepEqual(await check(await serve(t, good), { verify: true }), down(reason, EXPIRY));
});

test('a certificate for another name is down', async (t) => {
  const port = await serve(t, good);
  const result = await check(port, { ca: authority.ca }, 'registry2');
  assert.ok(!result.ok);
  assert.match(
    result.reason,
    /^TLS: the certificate is for registry1, not registry2; set healthCheck\.tls\.serverName/,
  );
  assert.equal(result.certificateExpiry, EXPIRY);
  assert.deepEqual(await check(port, { ca: authority.ca, serverName: 'registry1' }, 'registry2'), up(EXPIRY));
});

test('an address is looked for in the certificate as an address', async (t) => {
  const port = await serve(t, authority.sign('IP:127.0.0.1'));
  assert.deepEqual(await check(port, { ca: authority.ca }, '127.0.0.1'), up(EXPIRY));
  assert.equal((await check(port, { ca: authority.ca }, '127.0.0.2')).ok, false);
});

test('the name goes along as SNI, an address does not', async (t) => {
  const asked: string[] = [];
  const SNICallback = (name: string, done: (error: null) => void): void => {
    asked.push(name);
    done(null);
  };
  const port = await listen(
    t,
    createTlsServer({ ...good, SNICallback }, (socket) => socket.on('error', () => {})),
  );
  await check(port, {});
  await check(port, { serverName: 'other.example' });
  await check(port, {}, '127.0.0.1');
  assert.deepEqual(asked, ['registry1', 'other.example']);
});

test('registry over TLS', async (t) => {
  const port = await listen(
    t,
    createHttpsServer(good, ({ url, headers }, response) => {
      assert.equal(headers.host, `registry1:${port}`);
      response.writeHead(url === '/v2/' ? 401 : 503).end();
    }),
  );
  assert.deepEqual(await check(port, { ca: authority.ca }, 'registry1', { type: 'registry' }), up(EXPIRY));
  const http = await check(port, { ca: authority.ca }, 'registry1', { type: 'http' });
  assert.deepEqual(http, down("GET / answered 503; the node's log says why", EXPIRY));
});

test('a server that does not speak TLS', async (t) => {
  const reason =
    'TLS: what answers does not speak TLS; if it speaks plain HTTP, set http.tls on the node, or leave out healthCheck.tls';
  assert.deepEqual(await check(await listen(t, createHttpServer()), {}), down(reason));
  const ssh = await listenRaw(t, (socket) => void socket.write('SSH-2.0-OpenSSH_9.2p1 Debian\r\n'));
  assert.deepEqual(await check(ssh, {}), down(reason));
});

test('a server that closes, resets or hangs in the handshake, or does not listen', async (t) => {
  const closed =
    'TLS: closed during the handshake; look at its log: perhaps it does not speak TLS, or its certificate and key ' +
    'do not belong together';
  const ends = await listenRaw(t, (socket) => socket.once('data', () => socket.end()));
  assert.deepEqual(await check(ends, {}), down(closed));
  const resets = await listenRaw(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  assert.deepEqual(await check(resets, {}), down(closed));
  const hangs = await listenRaw(t, () => {});
  assert.deepEqual(await check(hangs, {}, 'registry1', { timeout: '300ms' }), down('no answer within 300ms'));
  assert.deepEqual(await check(await closedPort(), {}), down('connection refused'));
});

test('a server with nothing but old TLS is down with a reason', async (t) => {
  const old = createTlsServer({ ...good, minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' });
  const result = await check(await listen(t, old), {});
  assert.ok(!result.ok && result.reason.startsWith('TLS: no common version of TLS: '), JSON.stringify(result));
});
