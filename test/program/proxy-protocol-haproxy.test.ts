/** The headers that HAProxy sends, as our parser reads them, and those that we build, as HAProxy reads them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { buildProxyHeader, parseProxyHeader, type ProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { accepts, openWorkspace } from '../support/processes.ts';

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
const hasHaproxy = spawnSync('haproxy', ['-v'], { env }).status === 0 && spawnSync('openssl', ['version']).status === 0;
const PAYLOAD = 'hello, registry';

/** A listener that keeps what each connection brought. */
class Recorder {
  readonly #seen: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #server = createServer((socket) => {
    const index = this.#seen.push(Buffer.alloc(0)) - 1;
    socket.on('error', () => {});
    socket.on('data', (data) => {
      this.#seen[index] = Buffer.concat([this.#seen[index] ?? Buffer.alloc(0), data]);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  });

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** The first connection whose bytes are as wanted; it is not found again. */
  async take(isWanted: (bytes: Buffer) => boolean): Promise<Buffer> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const found = this.#seen.findIndex(isWanted);
      const bytes = this.#seen[found];
      if (bytes) {
        this.#seen[found] = Buffer.alloc(0);
        return bytes;
      }
      if (Date.now() > deadline)
        throw new Error(`waited in vain; seen: ${this.#seen.map((one) => one.toString('hex')).join(' ')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500);
        this.#waiting.push(() => (clearTimeout(timer), resolve()));
      });
    }
  }

  close(): void {
    this.#server.close();
  }
}

/** Splits what a server got into the header and the rest, and sees that every part of the header is 'more'. */
function split(bytes: Buffer): { header: Extract<ProxyHeader, { kind: 'header' }>; rest: string } {
  const header = parseProxyHeader(bytes);
  assert.ok(header.kind === 'header', JSON.stringify(header));
  for (let i = 0; i < header.length; i++) assert.equal(parseProxyHeader(bytes.subarray(0, i)).kind, 'more');
  return { header, rest: bytes.toString('latin1', header.length) };
}

describe('with HAProxy', { skip: !hasHaproxy }, () => {
  const workspace = openWorkspace();
  const recorder = new Recorder();
  const port: Record<string, number> = {};
  const file = (name: string): string => join(workspace.dir, name);

  before(async () => {
    const to = await recorder.listen();
    for (const name of ['v1', 'v2', 'tlvs', 'ssl', 'accept', 'six']) port[name] = await workspace.freePort();
    const args = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=registry',
    ];
    await workspace.run('openssl', [...args, '-keyout', file('key.pem'), '-out', file('cert.pem')]);
    writeFileSync(file('both.pem'), await workspace.run('cat', [file('key.pem'), file('cert.pem')]));
    const listen = (name: string, binds: readonly string[], server: string): string =>
      [`listen ${name}`, ...binds.map((bind) => `  bind ${bind}`), `  server s 127.0.0.1:${to} ${server}`, ''].join(
        '\n',
      );
    const options = 'proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id';
    writeFileSync(
      file('haproxy.cfg'),
      [
        'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n  unique-id-format id-%pid-%rt',
        listen('v1', [`127.0.0.1:${port['v1']}`, `unix@${file('v1.sock')}`], 'send-proxy'),
        listen('v2', [`127.0.0.1:${port['v2']}`, `unix@${file('v2.sock')}`], 'send-proxy-v2'),
        listen('tlvs', [`127.0.0.1:${port['tlvs']} ssl crt ${file('both.pem')}`], `send-proxy-v2 ${options}`),
        listen('ssl', [`127.0.0.1:${port['ssl']} ssl crt ${file('both.pem')}`], 'send-proxy-v2-ssl'),
        listen('six', [`[::1]:${port['six']}`], 'send-proxy-v2'),
        listen('accept', [`127.0.0.1:${port['accept']} accept-proxy`], 'send-proxy'),
        listen('check1', [`unix@${file('c1.sock')}`], 'check inter 300 send-proxy check-send-proxy'),
        listen('check2', [`unix@${file('c2.sock')}`], 'check inter 300 send-proxy-v2 check-send-proxy'),
      ].join('\n'),
    );
    const haproxy = workspace.start({ name: 'haproxy', command: 'haproxy', args: ['-db', '-f', file('haproxy.cfg')] });
    await haproxy.waitFor('a listener', () => accepts(port['v1'] ?? 0));
  });
  after(async () => {
    recorder.close();
    await workspace.close();
  });

  /** Sends the payload and gives the client's own address, which is what the header must say. */
  async function say(
    socket: Socket,
    ready: 'connect' | 'secureConnect' = 'connect',
    text: Buffer | string = PAYLOAD,
  ): Promise<AddressInfo> {
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once(ready, resolve));
    socket.write(text);
    return socket.address() as AddressInfo;
  }
  const isOurs = (bytes: Buffer): boolean => bytes.includes(PAYLOAD);

  for (const name of ['v1', 'v2'] as const) {
    test(`send-proxy ${name}: the client's address and the one it connected to`, async () => {
      const socket = connect(port[name] ?? 0, '127.0.0.1');
      const client = await say(socket);
      const { header, rest } = split(await recorder.take(isOurs));
      socket.destroy();
      assert.deepEqual(header.source, { address: '127.0.0.1', port: client.port });
      assert.deepEqual(header.destination, { address: '127.0.0.1', port: port[name] });
      assert.equal(rest, PAYLOAD);
    });

    test(`send-proxy ${name} for a client on a unix socket names nobody`, async () => {
      const socket = connect(file(`${name}.sock`));
      await say(socket);
      const { header, rest } = split(await recorder.take(isOurs));
      socket.destroy();
      assert.deepEqual([header.source, header.destination, rest], [undefined, undefined, PAYLOAD]);
    });

    for (const [source, destination] of [
      ['192.0.2.7', '198.51.100.1'],
      ['2001:db8::7', '2001:db8::1'],
      ['::ffff:192.0.2.7', '198.51.100.1'],
      ['2001:db8::7', '198.51.100.1'],
    ] as const) {
      test(`accept-proxy takes our ${name} of ${source} to ${destination}`, async () => {
        const from = { address: source, port: 40_000 };
        const to = { address: destination, port: 443 };
        const socket = connect(port['accept'] ?? 0, '127.0.0.1');
        await say(socket, 'connect', Buffer.concat([buildProxyHeader(name, from, to), Buffer.from(PAYLOAD)]));
        const { header, rest } = split(await recorder.take(isOurs));
        socket.destroy();
        assert.deepEqual(header.source, { address: source.replace('::ffff:', ''), port: 40_000 });
        assert.deepEqual(header.destination, to);
        assert.equal(rest, PAYLOAD);
      });
    }

    test(`accept-proxy takes our ${name} that names nobody, and goes by the connection`, async () => {
      const socket = connect(port['accept'] ?? 0, '127.0.0.1');
      const header = buildProxyHeader(name, undefined, undefined);
      const client = await say(socket, 'connect', Buffer.concat([header, Buffer.from(PAYLOAD)]));
      const got = split(await recorder.take(isOurs));
      socket.destroy();
      assert.deepEqual(got.header.source, { address: '127.0.0.1', port: client.port });
    });
  }

  test('send-proxy-v2 for a client of IPv6', async () => {
    const socket = connect(port['six'] ?? 0, '::1');
    const client = await say(socket);
    const { header } = split(await recorder.take(isOurs));
    socket.destroy();
    assert.deepEqual(header.source, { address: '::1', port: client.port });
    assert.deepEqual(header.destination, { address: '::1', port: port['six'] });
  });

  for (const name of ['tlvs', 'ssl'] as const) {
    test(`send-proxy-v2 with TLVs (${name})`, async () => {
      const socket = connectTls({
        port: port[name] ?? 0,
        host: '127.0.0.1',
        servername: 'registry',
        rejectUnauthorized: false,
      });
      const client = await say(socket, 'secureConnect');
      const { header, rest } = split(await recorder.take(isOurs));
      socket.destroy();
      assert.deepEqual(header.source, { address: '127.0.0.1', port: client.port });
      assert.equal(rest, PAYLOAD);
      assert.ok(header.length > 16 + 12 + 8, `${header.length} bytes`);
    });
  }

  test("a health check's v2 header is LOCAL and names nobody", async () => {
    const bytes = await recorder.take((one) => one[12] === 0x20);
    const { header, rest } = split(bytes);
    assert.deepEqual([header.source, header.length, rest], [undefined, bytes.length, '']);
  });

  test("a health check's v1 header is taken whole", async () => {
    const bytes = await recorder.take((one) => one.toString('latin1').startsWith('PROXY ') && !isOurs(one));
    assert.equal(split(bytes).header.length, bytes.length);
  });
});
