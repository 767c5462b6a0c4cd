/** Each way in which TLS or HTTP fails between a check and a node is a sentence that says what to do. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { newProbe, type ProbeResult } from '../../src/pool/probe/probe.ts';
import { Authority, type Certificate } from '../support/authority.ts';
import { listenRaw } from '../support/listening.ts';
import { NO_NGINX, startNginx } from '../support/nginx.ts';
import { checkConfig } from '../support/pool.ts';
import { accepts, openWorkspace } from '../support/processes.ts';

const probe = newProbe();

const [authority, stranger] = [Authority.ofFile(), Authority.ofFile()];
const node = authority.sign('DNS:registry.test');
const client = authority.sign('DNS:client');

type Shown = { readonly certificate?: Certificate; readonly type?: string; readonly tls?: object | false };

/** Checks 127.0.0.1 over TLS with this client certificate, if any. */
function check(port: number, { certificate, type = 'registry', tls = {} }: Shown = {}): Promise<ProbeResult> {
  const files = certificate ? { cert: 'c', key: 'k' } : {};
  const config = checkConfig({ type, timeout: '10s', tls: tls && { serverName: 'registry.test', ...tls, ...files } });
  if (config.tls !== false && config.tls.cert && config.tls.key && certificate) {
    config.tls.cert.content = certificate.cert;
    config.tls.key.content = certificate.key;
  }
  return probe({ host: '127.0.0.1', port }, 'registry.test', config);
}

/** A sentence, and nothing that OpenSSL or Node keeps for programs. */
function assertReason(result: ProbeResult, reason: RegExp): void {
  assert.ok(!result.ok, 'the node is up');
  assert.match(result.reason, reason);
  assert.doesNotMatch(result.reason, /[A-Z]{3,}_|EPROTO|HPE_|:error:/);
  assert.match(result.reason, /; /, 'no remedy');
}

function write(certificate: Certificate, folder: string): string[] {
  writeFileSync(join(folder, 'cert.pem'), certificate.cert);
  writeFileSync(join(folder, 'key.pem'), certificate.key);
  writeFileSync(join(folder, 'ca.pem'), authority.ca);
  return ['-cert', join(folder, 'cert.pem'), '-key', join(folder, 'key.pem'), '-CAfile', join(folder, 'ca.pem')];
}

/** `openssl s_server`, which replies to every GET with 200. */
async function serve(t: TestContext, ...flags: string[]): Promise<number> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const port = await workspace.freePort();
  const files = write(node, workspace.dir);
  const args = ['s_server', '-accept', `127.0.0.1:${port}`, '-www', ...files, ...flags];
  const server = workspace.start({ name: 's_server', command: 'openssl', args, env: {} });
  await server.waitFor('a listener', () => accepts(port));
  return port;
}

/** The certificate for `-servername`. */
const SECOND = ['-cert2', join(authority.folder, 'ca.pem'), '-key2', join(authority.folder, 'ca.key')];

const WANTED = /asks clients for a certificate; set healthCheck\.tls\.cert and healthCheck\.tls\.key/;

suite('a node that asks for a client certificate', () => {
  test('says so after the handshake of TLS 1.3', async (t) => {
    const port = await serve(t, '-Verify', '1', '-verify_return_error', '-tls1_3');
    assertReason(await check(port, { type: 'http' }), new RegExp(`^GET /: it ${WANTED.source}`));
    assert.equal((await check(port, { type: 'http', certificate: client })).ok, true);
  });

  test('says so within the handshake of TLS 1.2', async (t) => {
    const port = await serve(t, '-Verify', '1', '-verify_return_error', '-tls1_2');
    assertReason(await check(port, { type: 'http' }), /^TLS: it refuses the handshake: .*healthCheck\.tls\.cert/);
    assert.equal((await check(port, { type: 'http', certificate: client })).ok, true);
  });

  test('and is shown the certificate of another authority', async (t) => {
    const certificate = stranger.sign('DNS:client');
    for (const version of ['-tls1_2', '-tls1_3']) {
      const port = await serve(t, '-Verify', '1', '-verify_return_error', version);
      assertReason(
        await check(port, { type: 'http', certificate }),
        /it refuses the client certificate: .*authority that it does not know; set healthCheck\.tls\.cert/,
      );
    }
  });

  test('says so in a 400, as nginx does', { skip: NO_NGINX }, async (t) => {
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    write(node, workspace.dir);
    const at = (name: string): string => join(workspace.dir, name);
    const files = `ssl_certificate ${at('cert.pem')}; ssl_certificate_key ${at('key.pem')};`;
    const port = await startNginx(
      t,
      `server { listen 127.0.0.1:PORT ssl; ${files} ssl_client_certificate ${at('ca.pem')}; ssl_verify_client on; }`,
    );
    assertReason(await check(port), new RegExp(`^GET /v2/ answered 400: it ${WANTED.source}`));
    assertReason(
      await check(port, { certificate: stranger.sign('DNS:client') }),
      /^GET \/v2\/ answered 400: it refuses the client certificate/,
    );
    assertReason(await check(port, { tls: false }), /^GET \/v2\/ answered 400: it speaks TLS .*; set healthCheck\.tls/);
  });
});

test('no common cipher, no common version, no known server name, no common protocol', async (t) => {
  const cipher = await serve(t, '-tls1_2', '-cipher', 'ADH-AES128-SHA256@SECLEVEL=0');
  assertReason(await check(cipher), /^TLS: it refuses the handshake: no common cipher/);
  const old = await serve(t, '-tls1', '-cipher', 'DEFAULT@SECLEVEL=0');
  assertReason(await check(old), /^TLS: no common version of TLS: .*; set http\.tls\.minimumtls/);
  const name = await serve(t, '-servername', 'other.test', '-servername_fatal', ...SECOND);
  assertReason(await check(name), /^TLS: it knows no such server name; set healthCheck\.tls\.serverName/);
  const h2 = await serve(t, '-alpn', 'h2');
  assertReason(await check(h2), /^TLS: it speaks no HTTP\/1\.1; allow/);
});

test('TLS where the check speaks plain HTTP, whether the node says so in HTTP, by an alert or not at all', async (t) => {
  const port = await serve(t);
  assertReason(
    await check(port, { tls: false }),
    /^GET \/v2\/: (it speaks TLS|closed before the whole answer was there)/,
  );
  const alert = await listenRaw(t, (socket) =>
    socket.once('data', () => socket.end(Buffer.from('15030100020246', 'hex'))),
  );
  assertReason(await check(alert, { tls: false }), /^GET \/v2\/: it speaks TLS and was asked in plain HTTP; set/);
});

test('an alert that this side does not know, and a record that is none', async (t) => {
  const alert = await listenRaw(t, (socket) =>
    socket.once('data', () => socket.end(Buffer.from('15030300020273', 'hex'))),
  );
  assertReason(await check(alert), /^TLS: .*; /);
  const nonsense = await listenRaw(t, (socket) =>
    socket.once('data', () => socket.end(Buffer.from('160303000400000000', 'hex'))),
  );
  assertReason(await check(nonsense), /^TLS: .*; /);
});

test(
  'a node that knows its own hosts alone is asked by the name of healthCheck.host',
  { skip: NO_NGINX },
  async (t) => {
    const port = await startNginx(
      t,
      `server { listen 127.0.0.1:PORT default_server; return 421; }
     server { listen 127.0.0.1:PORT; server_name registry.example.com; location /v2/ { return 200; } }`,
    );
    const ask = (options: object): Promise<ProbeResult> =>
      probe({ host: '127.0.0.1', port }, '127.0.0.1', checkConfig({ type: 'registry', timeout: '10s', ...options }));
    const hint = '; if it knows its public name alone, set healthCheck.host';
    assert.deepEqual(await ask({}), { ok: false, reason: `GET /v2/ answered 421${hint}` });
    assert.deepEqual(await ask({ host: 'registry.example.com' }), { ok: true });
    assert.deepEqual(await ask({ type: 'http', path: '/v2/', host: 'registry.example.com:443' }), { ok: true });
  },
);
