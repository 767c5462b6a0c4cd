/** One client's connection from the accept to its record, over a real backend and real sockets. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { PatientSocket } from '../../../src/proxy/relay/patient-socket.ts';
import { eventSockets, onreadSockets, Wire } from '../../../src/proxy/relay/sockets.ts';
import { buildProxyHeader } from '../../../src/pool/proxy-protocol.ts';
import { helloMessage, records, serverName } from '../../support/hellos.ts';
import { Pattern, type Peer } from '../../support/peer.ts';
import { ProxyStand } from '../../support/proxy-stand.ts';
import { eventually } from '../../support/waiting.ts';

const BYTES = new Pattern(7);
const HELLO = records(helloMessage({ extensions: [serverName('a.test')] }));
/** A client that a proxy in front of Berth names. */
const ADVERTISED = { address: '192.0.2.7', port: 4711 };
const V1 = buildProxyHeader('v1', ADVERTISED, { address: '192.0.2.1', port: 443 });
const V2 = buildProxyHeader('v2', ADVERTISED, { address: '192.0.2.1', port: 443 });
const PROXIED = { acceptProxy: ['127.0.0.0/8'] };
const ROUTED = { backend: undefined, sni: { 'a.test': 'b' } };

/** What a peer gets, as text. */
class Heard {
  text = '';
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.#peer = peer;
    peer.read().socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
  }

  async is(text: string): Promise<void> {
    await this.#peer.until(() => this.text.length >= text.length, text);
    assert.equal(this.text, text);
  }
}

/** Lets what was sent arrive, in a read of its own. */
async function pause(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function sendSplit(peer: Peer, bytes: Buffer, at: number): Promise<void> {
  peer.socket.write(bytes.subarray(0, at));
  await pause();
  peer.socket.write(bytes.subarray(at));
}

/** Sends one byte in each piece. */
async function trickle(peer: Peer, bytes: Buffer): Promise<void> {
  for (const byte of bytes) {
    peer.socket.write(Buffer.of(byte));
    await pause();
  }
}

describe('a connection that the operator ends', () => {
  test('while its PROXY header is awaited ends as KR', async (t) => {
    const stand = await ProxyStand.open(t, { frontend: PROXIED });
    const client = await stand.arrive();
    await stand.accepts(1);
    stand.frontend.killAll();
    const { end, backend, server } = await stand.record();
    assert.deepEqual({ end, backend, server }, { end: 'KR', backend: undefined, server: undefined });
    await client.getsEnd();
  });

  test('while its ClientHello is awaited ends as KR', async (t) => {
    const stand = await ProxyStand.open(t, { frontend: ROUTED });
    const client = await stand.arrive();
    await stand.accepts(1);
    stand.frontend.killAll();
    assert.equal((await stand.record()).end, 'KR');
    await client.getsEnd();
  });

  test('while it waits for a place ends as KQ, and does not take the place that becomes free', async (t) => {
    const stand = await ProxyStand.open(t, { backend: { servers: { s1: { maxConnections: 1 } } } });
    await stand.join();
    await stand.arrive();
    await eventually('nobody waits', () => stand.server().slots.waiting === 1);
    stand.frontend.killAll();
    await stand.record(2);
    assert.deepEqual(stand.records.map(({ end }) => end).toSorted(), ['KD', 'KQ']);
    assert.equal(stand.server().traffic.connections, 1);
  });

  test('while its server is dialled ends as KC', async (t) => {
    const deaf = { connect: () => new Wire(stand.buffers.unread, () => new PatientSocket({ allowHalfOpen: true })) };
    const stand: ProxyStand = await ProxyStand.open(t, { sockets: { ...onreadSockets, ...deaf } });
    await stand.arrive();
    await stand.accepts(1);
    stand.frontend.killAll();
    const { end, server, connectMs } = await stand.record();
    assert.deepEqual([end, server, connectMs], ['KC', 's1', undefined]);
  });

  test('while bytes flow ends as KD, for client and server', async (t) => {
    const stand = await ProxyStand.open(t);
    const { client, server } = await stand.join();
    await stand.hears('connected s1');
    stand.frontend.killAll();
    stand.frontend.killAll();
    assert.equal((await stand.record()).end, 'KD');
    await Promise.all([client.getsEnd(), server.getsEnd()]);
  });

  test('while the server’s last bytes are on their way ends as KL', async (t) => {
    const stand = await ProxyStand.open(t);
    const { client, server } = await stand.join();
    server.end();
    await client.getsEnd();
    stand.frontend.killAll();
    assert.equal((await stand.record()).end, 'KL');
  });

  test('as it breaks off keeps the end that it has already', async (t) => {
    const adopt: typeof onreadSockets.adopt = (accepted, reader) => {
      const wire = onreadSockets.adopt(accepted, reader);
      inner.push(wire.socket);
      return wire;
    };
    const inner: Socket[] = [];
    const stand = await ProxyStand.open(t, { sockets: { ...onreadSockets, adopt } });
    const { client } = await stand.join();
    await stand.hears('connected s1');
    inner[0]?.on('error', () => stand.frontend.killAll());
    client.reset();
    assert.equal((await stand.record()).end, 'CD');
  });
});

test('a connection that the operator ends in any moment around its connect leaves nothing', async (t) => {
  let hops = 0;
  const connect: typeof onreadSockets.connect = (route, reader) => {
    const wire = onreadSockets.connect(route, reader);
    wire.socket.once('connect', () => {
      let moment = Promise.resolve();
      for (let i = 0; i < hops; i++) moment = moment.then(() => undefined);
      void moment.then(() => stand.frontend.killAll());
    });
    return wire;
  };
  const stand: ProxyStand = await ProxyStand.open(t, { sockets: { ...onreadSockets, connect } });
  for (hops = 0; hops < 16; hops++) {
    const client = await stand.arrive();
    assert.match((await stand.record(hops + 1)).end, /^K[CD]$/);
    await client.getsEnd();
    await stand.accepts(0);
    assert.equal(stand.server().slots.taken, 0);
  }
});

test('a sweep leaves a connection alone that has no server yet, however long it looks for one', async (t) => {
  const deaf = { connect: () => new Wire(stand.buffers.unread, () => new PatientSocket({ allowHalfOpen: true })) };
  const stand: ProxyStand = await ProxyStand.open(t, { frontend: ROUTED, sockets: { ...onreadSockets, ...deaf } });
  const client = await stand.arrive();
  await stand.accepts(1);
  const sweep = (): void => stand.frontend.sweep(performance.now() + 86_400_000);
  sweep();
  client.socket.write(HELLO);
  await eventually('nobody is bound', () => stand.backend.binding('127.0.0.1') !== undefined);
  sweep();
  assert.deepEqual([stand.records, stand.server().traffic.in], [[], 0]);
  stand.frontend.killAll();
});

test('a record tells how long the connect, the wait and the connection took, in milliseconds', async (t) => {
  const stand = await ProxyStand.open(t, { backend: { servers: { s1: { maxConnections: 1 } } } });
  const beforeMs = performance.now();
  const first = await stand.join();
  await stand.arrive();
  await eventually('nobody waits', () => stand.server().slots.waiting === 1);
  const waitsMs = performance.now();
  await eventually('20 ms', () => performance.now() > waitsMs + 20);
  first.client.reset();
  await stand.served();
  await stand.isEmpty();
  const tookMs = performance.now() - beforeMs;
  const [one, two] = [await stand.record(1), await stand.record(2)];
  for (const { connectMs, queueMs, durationMs } of [one, two]) {
    assert.ok(connectMs !== undefined && connectMs > 0 && queueMs + connectMs <= durationMs && durationMs <= tookMs);
  }
  assert.equal(one.queueMs, 0);
  assert.ok(two.queueMs >= 20 && one.durationMs >= 20);
});

test('a server that is marked down takes its joined connections with it, and nobody else’s', async (t) => {
  const stand = await ProxyStand.open(t, { servers: ['s1', 's2'] });
  const [first, second] = [await stand.join('127.0.0.1'), await stand.join('127.0.0.2')];
  await stand.hears('connected s1');
  await stand.hears('connected s2');
  stand.frontend.killOf(stand.server('s1'));
  const { end, server } = await stand.record();
  assert.deepEqual([end, server], ['DD', 's1']);
  await first.client.getsEnd();
  await second.client.send(BYTES, 1);
  await second.server.gets(1);
});

describe('a PROXY header of a client that may not send any', () => {
  for (const [name, header] of [
    ['v1', V1],
    ['v2', V2],
  ] as const) {
    test(`of ${name} never reaches a server, wherever it is split`, async (t) => {
      const stand = await ProxyStand.open(t);
      for (let at = 0; at <= Math.min(header.length, 20); at++) {
        const { client, server } = await stand.join();
        const heard = new Heard(server);
        await sendSplit(client, header, at);
        assert.equal(await stand.refusal(at + 1), 'proxy_header_forbidden');
        assert.match(String(await client.isClosed()), /^(ECONNRESET|EPIPE)$/);
        assert.equal((await stand.record(at + 1)).end, 'PR');
        await server.getsEnd();
        assert.equal(heard.text, '', `split at ${at}`);
      }
    });

    test(`of ${name} byte by byte is refused as soon as it is known for what it is`, async (t) => {
      const stand = await ProxyStand.open(t);
      const { client, server } = await stand.join();
      const heard = new Heard(server);
      await trickle(client, header.subarray(0, name === 'v1' ? 'PROXY '.length : 12));
      assert.equal(await stand.refusal(), 'proxy_header_forbidden');
      await server.getsEnd();
      assert.deepEqual([heard.text, stand.server().traffic.in], ['', 0]);
    });
  }

  test('is not what begins as one and goes on otherwise: that reaches the server whole', async (t) => {
    const stand = await ProxyStand.open(t);
    for (const text of ['PROXIMA', 'PROXY', '\r\n\r\n\0\r\nQUIZ', '\r\n\r\nGET /', 'P', 'GET / HTTP/1.1\r\n']) {
      const { client, server } = await stand.join();
      const heard = new Heard(server);
      await trickle(client, Buffer.from(text, 'latin1'));
      client.end();
      await heard.is(text);
      await server.getsEnd();
      server.end();
      await client.getsEnd();
    }
    await stand.record(6);
    assert.deepEqual([stand.refusals, stand.records.map(({ end }) => end)], [[], Array(6).fill('--')]);
  });
});

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`while the client has said nothing, over ${sockets.name} sockets`, () => {
    test('what the server says first reaches it', async (t) => {
      const stand = await ProxyStand.open(t, { sockets });
      const { client, server } = await stand.join();
      const heard = new Heard(client);
      server.socket.write('220 ready\r\n');
      await heard.is('220 ready\r\n');
      const said = new Heard(server);
      client.socket.write('EHLO');
      await said.is('EHLO');
    });

    test('what the server says first reaches it, and its end too', async (t) => {
      const stand = await ProxyStand.open(t, { sockets });
      const { client, server } = await stand.join();
      const heard = new Heard(client);
      server.socket.end('busy\r\n');
      await heard.is('busy\r\n');
      await client.getsEnd();
      client.end();
      await server.getsEnd();
      const { end, out } = await stand.record();
      assert.deepEqual([end, out, (await stand.record()).in], ['--', 6, 0]);
    });

    for (const version of ['v1', 'v2'] as const) {
      test(`the server has its PROXY header (${version}) already, and once`, async (t) => {
        const stand = await ProxyStand.open(t, { sockets, backend: { sendProxy: version } });
        const { client, server } = await stand.join();
        const heard = new Heard(server);
        const { localPort: port = 0, remotePort = 0 } = client.socket;
        const [from, to] = [
          { address: '127.0.0.1', port },
          { address: '127.0.0.1', port: remotePort },
        ];
        const header = buildProxyHeader(version, from, to).toString('latin1');
        await heard.is(header);
        client.socket.write('hello');
        await heard.is(`${header}hello`);
        await stand.isEmpty();
        assert.equal((await stand.record()).in, 5, 'a header is no byte of the client');
      });
    }

    test('a reset by the server ends it, and is recorded', async (t) => {
      const stand = await ProxyStand.open(t, { sockets });
      const { client, server } = await stand.join();
      await stand.hears('connected s1');
      server.reset();
      assert.equal(await client.isClosed(), 'ECONNRESET');
      assert.equal((await stand.record()).end, 'SD');
    });

    test('a reset by the client ends it, and is recorded', async (t) => {
      const stand = await ProxyStand.open(t, { sockets });
      const { client, server } = await stand.join();
      await stand.hears('connected s1');
      client.reset();
      assert.equal(await server.isClosed(), 'ECONNRESET');
      assert.equal((await stand.record()).end, 'CD');
    });

    test('the idle timeout ends it, and is the client’s', async (t) => {
      const stand = await ProxyStand.open(t, { sockets, timeouts: { idle: '1s' } });
      await stand.join();
      await stand.hears('connected s1');
      stand.frontend.sweep(performance.now() + 1_001);
      assert.equal((await stand.record()).end, 'cD');
    });
  });
}

describe('the PROXY header of a client that must send one', () => {
  for (const [name, header] of [
    ['v1', V1],
    ['v2', V2],
  ] as const) {
    test(`(${name}) says who the client is, wherever it is split, and is dropped`, async (t) => {
      const stand = await ProxyStand.open(t, { frontend: PROXIED });
      const message = Buffer.concat([header, Buffer.from('hello')]);
      for (let at = 0; at <= message.length; at++) {
        const client = await stand.arrive();
        await sendSplit(client, message, at);
        client.end();
        const server = await stand.served();
        const heard = new Heard(server);
        await server.getsEnd();
        assert.equal(heard.text, 'hello', `split at ${at}`);
        server.end();
        const { client: who, in: bytes } = await stand.record(at + 1);
        assert.deepEqual([who, bytes], ['192.0.2.7:4711', 5]);
      }
      assert.equal(stand.backend.binding('192.0.2.7')?.bound.name, 's1');
    });
  }

  for (const [what, act, refusal, end] of [
    ['is something else', (client: Peer) => void client.socket.write('GET / HTTP/1.1'), 'proxy_header_invalid', 'PR'],
    ['does not come in time', () => {}, 'proxy_header_missing', 'cR'],
    ['is cut short by the client’s end', (client: Peer) => void client.socket.end('PROXY TCP4'), 'client_left', 'CR'],
    ['is cut short by a reset', (client: Peer) => client.reset(), 'client_left', 'CR'],
  ] as const) {
    test(`that ${what} leads to no server`, async (t) => {
      const timely = what === 'does not come in time' ? '30ms' : '1h';
      const stand = await ProxyStand.open(t, { frontend: { ...PROXIED, prefaceTimeout: timely } });
      const client = await stand.arrive();
      await stand.accepts(1);
      act(client);
      assert.equal(await stand.refusal(), refusal);
      const record = await stand.record();
      assert.deepEqual([record.end, record.backend, record.server, stand.told], [end, undefined, undefined, []]);
    });
  }
});

test('a client that names no server, or an unknown one, is turned away where there is no default', async (t) => {
  const stand = await ProxyStand.open(t, { frontend: { ...ROUTED, prefaceTimeout: '1h' } });
  const unknown = records(helloMessage({ extensions: [serverName('b.test')] }));
  for (const [i, first] of [unknown, Buffer.from('SSH-2.0'), records(helloMessage())].entries()) {
    const client = await stand.arrive();
    client.socket.write(first);
    assert.equal(await stand.refusal(i + 1), 'server_name_unknown');
    const { end, in: bytes } = await stand.record(i + 1);
    assert.deepEqual([end, bytes], ['PR', first.length]);
    assert.equal(await client.isClosed(), 'ECONNRESET');
  }
  const client = await stand.arrive();
  await trickle(client, HELLO);
  await (await stand.served()).gets(HELLO.length);
  await stand.isEmpty();
  assert.equal((await stand.record(4)).sni, 'a.test');
});

test('a client that may not connect has no record', async (t) => {
  const stand = await ProxyStand.open(t, { frontend: { ...PROXIED, deny: ['192.0.2.0/24'] } });
  const client = await stand.arrive();
  client.socket.write(V1);
  assert.equal(await stand.refusal(), 'denied');
  assert.equal(await client.isClosed(), 'ECONNRESET');
  await stand.isEmpty();
  assert.deepEqual(stand.records, []);
});

describe('a source of which one connection is let in has another when the first', () => {
  const frontend = { ...PROXIED, ...ROUTED, perSource: { connections: 1 }, prefaceTimeout: '1h' };

  /** The advertised client comes, and its ClientHello is awaited. */
  async function awaited(stand: ProxyStand): Promise<Peer> {
    const client = await stand.arrive();
    client.socket.write(V1);
    client.socket.write(HELLO.subarray(0, 20));
    await stand.accepts(1);
    const second = await stand.arrive();
    second.socket.write(V2);
    assert.equal(await stand.refusal(), 'source_connections', 'there is one already');
    return client;
  }

  async function comesIn(stand: ProxyStand): Promise<void> {
    const client = await stand.arrive();
    client.socket.write(Buffer.concat([V1, HELLO]));
    await (await stand.served()).gets(HELLO.length);
  }

  for (const [way, leave, end] of [
    ['resets before it has named its server', (client: Peer) => client.reset(), 'CR'],
    ['finishes before it has named its server', (client: Peer) => client.end(), 'PR'],
    ['is ended before it has named its server', (_: Peer, stand: ProxyStand) => stand.frontend.killAll(), 'KR'],
    ['names a server that nobody serves', (client: Peer) => void client.socket.write(Buffer.alloc(200)), 'PR'],
  ] as const) {
    test(way, async (t) => {
      const stand = await ProxyStand.open(t, { frontend });
      const client = await awaited(stand);
      leave(client, stand);
      assert.equal((await stand.record()).end, end);
      await comesIn(stand);
    });
  }

  test('ends in peace', async (t) => {
    const stand = await ProxyStand.open(t, { frontend });
    for (let round = 1; round <= 3; round++) {
      await comesIn(stand);
      await stand.isEmpty();
    }
    assert.deepEqual(stand.refusals, []);
  });

  test('finds no server', async (t) => {
    const stand = await ProxyStand.open(t, { frontend, servers: ['s1'] });
    stand.server().setAdmin('maint');
    const client = await stand.arrive();
    client.socket.write(Buffer.concat([V1, HELLO]));
    assert.equal((await stand.record()).end, 'SC');
    stand.server().setAdmin('ready');
    await comesIn(stand);
  });
});
