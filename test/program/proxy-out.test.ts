/** PROXY headers that the running program sends to its servers, and HAProxy in front of it and behind it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildProxyHeader, parseProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { noIpv6 } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { NO_HAPROXY, startHaproxy } from '../support/haproxy.ts';
import { send } from '../support/people.ts';
import { serve, type Manner } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** A proxy that may say who its client is, and somebody who may not. */
const [PROXY, STRANGER] = ['127.50.0.1', '127.51.0.1'];
const VERSIONS = ['v1', 'v2'] as const;

const from = (address: string, port = 50_000): { address: string; port: number } => ({ address, port });

/** Keeps what each connection brought, read by read. */
function recorder(): { manner: Manner; reads: Buffer[][] } {
  const reads: Buffer[][] = [];
  const manner: Manner = (socket) => {
    const mine: Buffer[] = [];
    reads.push(mine);
    socket.on('data', (data) => {
      mine.push(data);
      socket.write('ok\n');
    });
    socket.on('end', () => socket.end());
  };
  return { manner, reads };
}

for (const version of VERSIONS) {
  test(`sendProxy: ${version} tells the server who its client is and where it came in, in one piece with its first bytes`, async (t) => {
    const { manner, reads } = recorder();
    const servers = await serve(t, ['s1'], manner);
    const backend = { healthCheck: false, sendProxy: version };
    const berth = await start(t, settings(servers, backend, {}, { acceptProxy: ['127.50.0.0/16'] }));
    const port = await berth.port();
    const source = from('2001:db8::1');
    const destination = { address: '2001:db8::2', port: 443 };
    const header = buildProxyHeader(version, source, destination);
    const proxied = await send(
      { port, from: PROXY },
      Buffer.concat([buildProxyHeader('v2', source, destination), Buffer.from('hello')]),
    );
    assert.equal(await proxied.line(), 'ok');
    assert.deepEqual(reads[0], [Buffer.concat([header, Buffer.from('hello')])], 'what it was told itself');
    const direct = await send({ port, from: STRANGER }, 'hello');
    assert.equal(await direct.line(), 'ok');
    const own = buildProxyHeader(version, from(STRANGER, direct.socket.localPort), from('127.0.0.1', port));
    await eventually('the header and the bytes', () => Buffer.concat(reads[1] ?? []).length >= own.length + 5);
    assert.deepEqual(Buffer.concat(reads[1] ?? []), Buffer.concat([own, Buffer.from('hello')]));
    await Promise.all([proxied.finish(), direct.finish()]);
    for (const { in: bytes } of await berth.connections(2)) assert.equal(bytes, 5, 'no header is counted');
  });

  test(`a server that speaks first gets its ${version} header before its client has said anything`, async (t) => {
    const greets: Manner = (socket) => {
      socket.once('data', (data) =>
        socket.write(parseProxyHeader(data).kind === 'header' ? '220 welcome\n' : 'what?\n'),
      );
    };
    const servers = await serve(t, ['s1'], greets);
    const berth = await start(t, settings(servers, { healthCheck: false, sendProxy: version }));
    const client = new Client({ port: await berth.port() });
    assert.equal(await client.line(), '220 welcome');
    client.socket.write('PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n');
    await client.ended;
    assert.equal((await berth.connections(1))[0]?.['end'], 'PR', 'a header is still not for it to send');
  });

  test(`an IPv6 client and its ${version} header`, { skip: noIpv6() }, async (t) => {
    const { manner, reads } = recorder();
    const [s1] = await serve(t, ['s1'], manner);
    const berth = await start(t, settings([s1!], { sendProxy: version }, {}, { bind: '*:0' }));
    const port = await berth.port();
    for (const host of ['::1', '127.0.0.1']) {
      const client = await send({ port, host }, 'hello');
      assert.equal(await client.line(), 'ok');
      const header = buildProxyHeader(version, from(host, client.socket.localPort), from(host, port));
      await eventually('its header', () =>
        reads.find((mine) => Buffer.concat(mine).equals(Buffer.concat([header, Buffer.from('hello')]))),
      );
    }
  });

  test(`a client of a unix socket and its ${version} header, which names nobody`, async (t) => {
    const { manner, reads } = recorder();
    const [s1] = await serve(t, ['s1'], manner);
    const path = join(folderOf(t), 'f.sock');
    const berth = await start(
      t,
      settings([s1!], { healthCheck: false, sendProxy: version }, {}, { bind: `unix:${path}` }),
    );
    const client = await send({ path }, 'hello');
    assert.equal(await client.line(), 'ok');
    const header = buildProxyHeader(version, undefined, undefined);
    await eventually('all of it', () => Buffer.concat(reads[0] ?? []).length >= header.length + 5);
    assert.deepEqual(Buffer.concat(reads[0] ?? []), Buffer.concat([header, Buffer.from('hello')]));
    await client.finish();
    assert.equal((await berth.connections(1))[0]?.['client'], 'unix');
  });
}

test("a server's own sendProxy is used instead of its backend's", async (t) => {
  const { manner, reads } = recorder();
  const servers = await serve(t, ['s1', 's2', 's3'], manner);
  const [a, b, c] = servers;
  const list = [{ address: a!.address, sendProxy: 'v2' }, { address: b!.address, sendProxy: 'none' }, c!];
  const berth = await start(t, settings(list, { healthCheck: false, sendProxy: 'v1' }));
  const port = await berth.port();
  for (const last of [1, 2, 3]) await (await send({ port, from: `127.51.1.${last}` }, 'hello')).line();
  const starts = () => reads.map((mine) => Buffer.concat(mine));
  await eventually('three times hello', () => starts().every((bytes) => bytes.includes('hello')));
  assert.deepEqual(
    starts().map((bytes) => bytes.subarray(0, 5).toString()),
    ['\r\n\r\n\0', 'hello', 'PROXY'],
  );
});

/** What a connection brought, taken apart. */
function apart(reads: readonly Buffer[] | undefined): {
  client: string | undefined;
  destination: unknown;
  rest: string;
} {
  const bytes = Buffer.concat(reads ?? []);
  const header = parseProxyHeader(bytes);
  assert.ok(header.kind === 'header', `${header.kind}: ${bytes.toString('hex')}`);
  const { source, destination, length } = header;
  return { client: source && `${source.address}:${source.port}`, destination, rest: bytes.toString('latin1', length) };
}

for (const [version, option] of [
  ['v1', 'send-proxy'],
  ['v2', 'send-proxy-v2'],
] as const) {
  test(
    `HAProxy in front (${option}), and HAProxy behind (${version}): the last server knows the first client`,
    { skip: NO_HAPROXY },
    async (t) => {
      const { manner, reads } = recorder();
      const servers = await serve(t, ['s1', 's2', 's3'], manner);
      const behind = await startHaproxy(
        t,
        servers.map(
          ({ address }, i) => `listen l${i}\n  bind 127.0.0.1:PORT accept-proxy\n  server s ${address} send-proxy-v2`,
        ),
      );
      const config = settings(behind, { sendProxy: version }, {}, { acceptProxy: ['127.0.0.1'] });
      const berth = await start(t, config);
      const port = await berth.port();
      // Its checks, with a header that names nobody, are no client's connections.
      const [front = 0] = await startHaproxy(t, [
        `listen front\n  bind 127.0.0.1:PORT\n  server berth 127.0.0.1:${port} ${option} check inter 100 check-send-proxy`,
      ]);
      const people = ['127.51.2.1', '127.51.2.2', '127.51.2.3', '127.51.2.1'];
      const clients: (number | undefined)[] = [];
      for (const who of people) {
        const client = await send({ port: front, from: who }, 'hello');
        assert.equal(await client.line(), 'ok');
        clients.push(client.socket.localPort);
        await client.finish();
      }
      const ours = await berth.until(() => {
        const lines = berth.lines.filter(
          (line) => line.msg === 'connection' && String(line['client']).startsWith('127.51.'),
        );
        return lines.length >= people.length ? lines : undefined;
      });
      const wanted = people.map((who, i) => `${who}:${clients[i]}`);
      assert.deepEqual(
        ours.map(({ client }) => client),
        wanted,
      );
      assert.equal(ours[3]?.['server'], ours[0]?.['server'], 'who returns is bound');
      assert.equal(ours[3]?.['via'], 'stuck');
      assert.ok(
        new Set(ours.map(({ server }) => server)).size > 1,
        'others are others, even if a check has taken a turn',
      );
      const seen = reads.filter((mine) => Buffer.concat(mine).includes('hello')).map(apart);
      assert.deepEqual(
        seen.map(({ client }) => client),
        wanted,
      );
      for (const { rest, destination } of seen) {
        assert.equal(rest, 'hello');
        assert.deepEqual(destination, from('127.0.0.1', front), 'where the client came in first');
      }
    },
  );
}
