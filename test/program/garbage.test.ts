import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { openFilesOf } from '../support/files.ts';
import { mirrors, serve, type Manner, type TestServer } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const OPEN = 'berth_frontend_connections{frontend="f"}';

/** A balancer, and a client inside that must notice nothing of what the others do. */
async function withSteadyClient(t: TestContext, manner: Manner = mirrors) {
  const [server] = await serve(t, ['s1'], manner);
  const berth = await start(t, settings([server!], { healthCheck: false }));
  const port = await berth.port();
  const steady = new Client({ port, from: '127.0.60.1' });
  let sent = 0;
  /** One round trip. Whatever stalls it longer than the patience of a test fails the test. */
  const beat = async (): Promise<void> => {
    steady.socket.write('x');
    await steady.bytes(++sent);
  };
  await beat();
  const files = openFilesOf(berth.pid);
  const allWell = async (): Promise<void> => {
    await beat();
    await berth.metricIs(OPEN, 1);
    // The connections of scrapes are kept open.
    await eventually('the descriptors to be closed', () => openFilesOf(berth.pid) <= files + 3);
    await beat();
    await steady.finish();
    await berth.metricIs(OPEN, 0);
    const line = await berth.line(({ client }) => String(client).startsWith('127.0.60.1:'));
    assert.deepEqual([line['in'], line['out'], line['end']], [sent, sent, '--']);
    assert.equal(berth.stderr, '');
    // Five hundred connections of one address are rightly remarked on, where a table looks at them long enough.
    const bad = berth.lines.filter(({ level, event }) => level !== 'info' && event !== 'client_crowds');
    assert.deepEqual(bad, []);
  };
  return { server: server as TestServer, berth, port, beat, allWell };
}

test('random bytes go through unchanged and harm nobody', async (t) => {
  const { port, beat, allWell } = await withSteadyClient(t);
  for (let round = 0; round < 10; round++) {
    const talks = Array.from({ length: 20 }, async (_, i) => {
      const garbage = randomBytes(1 + i * 4_000);
      const client = new Client({ port });
      client.socket.end(garbage);
      await client.ended;
      assert.ok(client.received.equals(garbage));
    });
    await Promise.all([...talks, beat()]);
  }
  await allWell();
});

test('thousands of clients that connect and leave at once harm nobody', async (t) => {
  const { port, beat, allWell } = await withSteadyClient(t);
  const leave = async (how: 'end' | 'destroy' | 'resetAndDestroy'): Promise<void> => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    const closed = once(socket, 'close');
    await once(socket, 'connect');
    socket.resume()[how]();
    await closed;
  };
  for (let round = 0; round < 30; round++) {
    const crowd = Array.from({ length: 100 }, (_, i) =>
      leave((['end', 'destroy', 'resetAndDestroy'] as const)[i % 3]!),
    );
    await Promise.all([...crowd, beat()]);
  }
  await allWell();
});

test('clients that give up before their connect is through harm nobody', async (t) => {
  const { port, beat, allWell } = await withSteadyClient(t);
  for (let round = 0; round < 30; round++) {
    const crowd = Array.from({ length: 50 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    await new Promise((resolve) => setImmediate(resolve));
    for (const socket of crowd) socket.destroy();
    await beat();
  }
  await allWell();
});

test('clients that connect and say nothing, or next to nothing, delay nobody', async (t) => {
  const { port, beat, allWell, berth } = await withSteadyClient(t);
  const slow = Array.from({ length: 500 }, () => new Client({ port }));
  await berth.metricIs(OPEN, 501);
  for (let round = 0; round < 20; round++) {
    for (const [i, client] of slow.entries()) if (i % 2 === 0) client.socket.write('.');
    await beat();
  }
  for (const client of slow) client.socket.destroy();
  await allWell();
});

test('clients that ask for much and read nothing delay nobody, and fill no memory', async (t) => {
  // Every connection but the first, steady one is sent as much as it takes.
  const flood: Manner = (socket, server) => {
    if (server.accepted === 1) return mirrors(socket, server);
    const chunk = Buffer.alloc(1 << 20);
    const pour = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pour);
    pour();
  };
  const { berth, port, beat, allWell } = await withSteadyClient(t, flood);
  const OUT = 'berth_server_bytes_out_total{backend="b",server="s1"}';
  const deaf = Array.from({ length: 50 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await berth.metricIs(OPEN, 51);
  // What comes stands still when every buffer on the way is full.
  let before = -1;
  await eventually('the flood to stand still', async () => {
    const now = (await berth.metric(OUT)) ?? 0;
    for (let i = 0; i < 10; i++) await beat();
    const still = now > 50 << 10 && now - before <= 10;
    before = now;
    return still;
  });
  const resident = (await berth.metric('process_resident_memory_bytes')) ?? Infinity;
  assert.ok(resident < 400 << 20, `${resident >> 20} MiB resident`);
  for (const socket of deaf) socket.destroy();
  await allWell();
});

test('servers that send garbage, or reset in the middle of it, harm nobody', async (t) => {
  let turn = 0;
  const rude: Manner = (socket, server) => {
    if (server.accepted === 1) return mirrors(socket, server);
    // Not before it was spoken to: a reset that comes with the accept is a failed connect, which is tried again.
    socket.once('data', () => {
      socket.write(randomBytes(10_000));
      if (turn++ % 2 === 0) socket.resetAndDestroy();
      else socket.end(randomBytes(100));
    });
  };
  const { port, beat, allWell } = await withSteadyClient(t, rude);
  for (let round = 0; round < 10; round++) {
    const crowd = Array.from({ length: 50 }, async () => {
      const client = new Client({ port });
      client.socket.write(randomBytes(1_000));
      await client.ended;
      client.socket.destroy();
    });
    await Promise.all([...crowd, beat()]);
  }
  await allWell();
});

test('garbage on the metrics address harms nobody', async (t) => {
  const { berth, beat, allWell } = await withSteadyClient(t);
  const { address } = await berth.line(({ msg }) => msg === 'metrics listening');
  const port = Number(String(address).split(':')[1]);
  const requests = [
    randomBytes(5_000),
    'GET\0/ HTTP/9.9\r\n\r\n',
    `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    '\r\n\r\n',
  ];
  for (let round = 0; round < 10; round++) {
    for (const text of requests) {
      const client = new Client({ port });
      client.socket.end(text);
      await client.ended;
      client.socket.destroy();
    }
    await beat();
  }
  assert.equal((await berth.get('/healthz')).status, 200);
  await allWell();
});
