/** Routing by the server name of a TLS client, in the running program. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { parseClientHello } from '../../src/proxy/admission/client-hello.ts';
import { buildProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { start, type Berth } from '../support/berth.ts';
import type { Client } from '../support/clients.ts';
import { extension, firstBytes, helloMessage, records, serverName, vector } from '../support/hellos.ts';
import { send } from '../support/people.ts';
import { openWorkspace } from '../support/processes.ts';
import { echoes, serve, type Manner } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { within } from '../support/waiting.ts';

const NAMES = ['registry', 'mirror', 'fallback'] as const;
const refused = (reason: string): string => `berth_frontend_refused_total{frontend="f",reason="${reason}"}`;

/** A balancer that routes to the backends `registry` and `mirror` by name, with `rules` for the frontend. */
function balancer(
  t: TestContext,
  addresses: readonly string[],
  rules: object = { backend: 'fallback' },
): Promise<Berth> {
  const sni = { 'registry.example.com': 'registry', '*.mirror.example.com': 'mirror', localhost: 'registry' };
  const backends = NAMES.map((name, i) => [name, { healthCheck: false, servers: { s: addresses[i] } }] as const);
  return start(t, {
    ...settings([]),
    frontends: { f: { bind: '127.0.0.1:0', sni, ...rules } },
    backends: Object.fromEntries(backends),
  });
}

const plain = async (t: TestContext, manner: Manner = echoes): Promise<string[]> =>
  (await serve(t, NAMES, manner)).map(({ address }) => address);

const hello = (...names: readonly string[]): Buffer =>
  records(helloMessage({ extensions: names.length > 0 ? [serverName(...names)] : [] }));

test('a client goes where its name is routed', async (t) => {
  const berth = await balancer(t, await plain(t));
  const port = await berth.port();
  for (const [name, backend] of [
    ['registry.example.com', 'registry'],
    ['REGISTRY.Example.COM', 'registry'],
    ['registry.example.com.', 'registry'],
    ['a.mirror.example.com', 'mirror'],
    ['B.Mirror.example.com', 'mirror'],
    ['mirror.example.com', 'fallback'],
    ['a.b.mirror.example.com', 'fallback'],
    ['registry.example.com.evil.test', 'fallback'],
    ['other.test', 'fallback'],
    [undefined, 'fallback'],
  ] as const) {
    await t.test(`${name ?? 'no name'}: ${backend}`, async () => {
      const seen = berth.lines.length;
      const sent = hello(...(name === undefined ? [] : [name]));
      const client = await send({ port }, sent);
      assert.equal(await client.line(), backend);
      const all = await client.bytes(backend.length + 1 + sent.length);
      assert.ok(all.subarray(backend.length + 1).equals(sent), 'and its bytes with it');
      await client.finish();
      const line = await berth.line(({ msg }) => msg === 'connection', seen);
      assert.equal(line['backend'], backend);
      assert.equal(line['sni'], name?.toLowerCase().replace(/\.$/, ''));
      assert.equal(line['in'], sent.length);
    });
  }
});

test('a client that is not TLS, ends early or stalls goes to the default backend, with what it has sent', async (t) => {
  const berth = await balancer(t, await plain(t), { backend: 'fallback', prefaceTimeout: '300ms' });
  const port = await berth.port();
  const begun = hello('registry.example.com').subarray(0, 40);
  for (const [bytes, end] of [
    [Buffer.from('GET /v2/ HTTP/1.1\r\n\r\n'), false],
    [Buffer.from([0x16, 0x03, 0x01, 0x00, 0x00]), false],
    [begun, true],
    [begun, false],
    [Buffer.alloc(0), false],
  ] as const) {
    const client = await send({ port }, bytes);
    if (end) client.socket.end();
    assert.equal(await client.line(), 'fallback');
    if (!end) client.socket.end('more');
    const all = await client.bytes('fallback\n'.length + bytes.length + (end ? 0 : 4));
    assert.equal(all.toString('latin1'), `fallback\n${bytes.toString('latin1')}${end ? '' : 'more'}`);
    await client.ended;
  }
  for (const line of await berth.connections(5)) assert.deepEqual([line['end'], 'sni' in line], ['--', false]);
});

test('where there is no default backend whoever names none of the others is reset and counted', async (t) => {
  const addresses = await plain(t);
  const berth = await balancer(t, addresses, { prefaceTimeout: '300ms', perSource: { connections: 1 } });
  const port = await berth.port();
  for (const bytes of [hello('other.test'), hello(), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(0)]) {
    assert.equal(await (await send({ port }, bytes)).ended, 'reset');
  }
  await berth.metricIs(refused('server_name_unknown'), 4);
  assert.equal(await berth.metric(refused('source_connections')), 0, 'none of them counts any more');
  assert.equal(await (await send({ port }, hello('registry.example.com'))).line(), 'registry');
});

test('a client that resets before it has named its server is bound to none', async (t) => {
  const berth = await balancer(t, await plain(t));
  const client = await send({ port: await berth.port() }, hello('registry.example.com').subarray(0, 40));
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 1);
  client.socket.resetAndDestroy();
  await berth.metricIs(refused('client_left'), 1);
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  for (const name of NAMES) {
    assert.equal(await berth.metric(`berth_stick_table_entries{backend="${name}"}`), 0);
    assert.equal(await berth.metric(`berth_stick_table_misses_total{backend="${name}"}`), 0);
  }
});

test('a hello may come in any pieces, in any records, after a PROXY header, and with bytes behind it', async (t) => {
  const addresses = await plain(t);
  const berth = await balancer(t, addresses, { backend: 'fallback', acceptProxy: ['127.60.0.0/16'] });
  const port = await berth.port();
  const message = helloMessage({ extensions: [serverName('registry.example.com')] });
  const trip = async (from: string, bytes: Buffer, ...parts: readonly Buffer[]): Promise<void> => {
    const client = await send({ port, from }, ...parts);
    assert.equal(await client.line(), 'registry');
    const all = await client.bytes('registry\n'.length + bytes.length);
    assert.ok(all.subarray('registry\n'.length).equals(bytes));
    await client.finish();
  };
  const from = '127.61.0.1';
  const whole = Buffer.concat([records(message), randomBytes(3_000)]);
  await Promise.all(Array.from({ length: 120 }, (_, i) => trip(from, whole, whole.subarray(0, i), whole.subarray(i))));
  for (const sizes of [[1], [4], [5, 1, 1], Array.from(message, () => 1)]) {
    const cut = records(message, ...sizes);
    await trip(from, cut, cut);
    await trip(from, cut, ...Array.from(cut, (_, i) => cut.subarray(i, i + 1)));
  }
  const header = buildProxyHeader('v2', { address: '192.0.2.1', port: 1 }, { address: '192.0.2.2', port: 443 });
  await trip('127.60.0.1', whole, Buffer.concat([header, whole]));
});

test('a hello with a post-quantum key share, which no single segment holds, is routed', async (t) => {
  const berth = await balancer(t, await plain(t));
  // X25519MLKEM768, of 1216 bytes; some clients send a second one.
  const share = Buffer.concat([Buffer.from([0x11, 0xec]), vector(2, randomBytes(1_216))]);
  const extensions = [extension(51, vector(2, share, share)), serverName('a.mirror.example.com')];
  const bytes = records(helloMessage({ extensions }));
  const client = await send({ port: await berth.port() }, bytes.subarray(0, 1_448), bytes.subarray(1_448));
  assert.equal(await client.line(), 'mirror');
  assert.ok((await client.bytes('mirror\n'.length + bytes.length)).subarray('mirror\n'.length).equals(bytes));
});

test('each backend has its own bindings for one client', async (t) => {
  const berth = await balancer(t, await plain(t));
  const port = await berth.port();
  for (const via of ['balanced', 'stuck']) {
    for (const name of ['registry.example.com', 'a.mirror.example.com']) {
      const seen = berth.lines.length;
      const client: Client = await send({ port }, hello(name));
      await client.line();
      await client.finish();
      assert.equal((await berth.line(({ msg }) => msg === 'connection', seen))['via'], via);
    }
  }
});

const present = (command: string, flag = '--version'): boolean => spawnSync(command, [flag]).status === 0;

test(
  'a TLS client reaches the server whose certificate has its name',
  { skip: !present('openssl', 'version') },
  async (t) => {
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    const asked: string[] = [];
    const addresses: string[] = [];
    for (const name of NAMES) {
      const [key, cert] = [join(workspace.dir, `${name}.key`), join(workspace.dir, `${name}.pem`)];
      const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      await workspace.run('openssl', [...request, '-subj', `/CN=${name}`, '-keyout', key, '-out', cert]);
      const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, ({ url = '' }, response) => {
        asked.push(`${name} ${url}`);
        response.end(`${name}\n`);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => server.close().closeAllConnections());
      addresses.push(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
    const port = await (await balancer(t, addresses)).port();
    const node = (servername: string, options: ConnectionOptions = {}, to = port): TLSSocket =>
      connectTls({ port: to, host: '127.0.0.1', servername, rejectUnauthorized: false, ...options });
    const commonName = async (socket: TLSSocket): Promise<unknown> => {
      try {
        await within(
          new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
          'TLS',
        );
        return socket.getPeerCertificate().subject.CN;
      } finally {
        socket.destroy();
      }
    };

    for (const [name, backend] of [
      ['registry.example.com', 'registry'],
      ['a.mirror.example.com', 'mirror'],
      ['other.test', 'fallback'],
    ] as const) {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        await t.test(`Node with ${version} asking for ${name}`, async () => {
          assert.equal(await commonName(node(name, { minVersion: version, maxVersion: version })), backend);
        });
      }

      await t.test(`openssl asking for ${name}`, async () => {
        const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', name];
        assert.match(await workspace.run('openssl', args), new RegExp(`subject=CN ?= ?${backend}\n`));
      });

      await t.test(`curl asking for ${name}`, { skip: !present('curl') }, async () => {
        const args = ['-sSk', '--noproxy', '*', '--connect-to', `::127.0.0.1:${port}`, `https://${name}/`];
        assert.equal(await workspace.run('curl', args), `${backend}\n`);
      });
    }

    await t.test('skopeo (Go)', { skip: !present('skopeo') }, async () => {
      const args = ['inspect', '--tls-verify=false', `docker://localhost:${port}/some/image`];
      await assert.rejects(workspace.run('skopeo', args), 'there is no such image');
      const answered = asked.filter((one) => one.includes('/v2/')).map((one) => one.split(' ')[0]);
      assert.deepEqual([...new Set(answered)], ['registry']);
    });

    const old = Number.parseFloat(process.versions.openssl) < 3.5 && 'needs OpenSSL 3.5';
    await t.test('Node asking with post-quantum keys', { skip: old }, async () => {
      const ask = (to: number): unknown => node('a.mirror.example.com', {}, to).on('error', () => {});
      const bytes = await firstBytes(ask, (all) => parseClientHello(all).kind !== 'more');
      assert.ok(bytes.length > 1_300, `a hello of ${bytes.length} bytes`);
      assert.equal(await commonName(node('a.mirror.example.com')), 'mirror');
    });
  },
);
