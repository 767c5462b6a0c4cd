import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Berth, start } from '../support/berth.ts';
import { openFilesOf } from '../support/files.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Who ends a connection to the built program, and how. */
const ENDINGS = ['client ends', 'server ends', 'client resets', 'server resets'] as const;
const CLIENTS = 250;
const AT_ONCE = 40;

test('what a start leaves behind is not kept: the young generation of the heap is as small as that of a bare Node', async (t) => {
  const berth = await start(t, settings([1]));
  const bytes = await berth.metric('nodejs_heap_space_size_total_bytes{space="new"}');
  // V8 starts with 1 MB for each half of the young generation, and would be at 16 MB in all.
  assert.ok((bytes ?? Infinity) <= 4 << 20, `it is of ${bytes} bytes`);
});

test('20 000 connections leave nothing behind in the program', { timeout: 180_000 }, async () => {
  const backend = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    // Its first byte says who is to end the connection.
    socket.once('data', (first: Buffer) => {
      if (first[0] === ENDINGS.indexOf('server resets')) socket.resetAndDestroy();
      else if (first[0] === ENDINGS.indexOf('server ends')) socket.end(first);
      else socket.write(first);
    });
  });
  await new Promise<void>((resolve) => backend.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve));
  const { port: server } = backend.address() as AddressInfo;
  // A small heap, so that garbage does not look like a leak; what leaks does not fit into it for long.
  const berth = new Berth(settings([server], { healthCheck: false }, { log: { connections: false } }), {
    env: { NODE_OPTIONS: '--max-semi-space-size=1 --max-old-space-size=40' },
  });
  try {
    const port = await berth.port();
    const connections = (): Promise<number | undefined> =>
      berth.metric('berth_server_connections{backend="b",server="s1"}');
    const idle = async (): Promise<void> => {
      while ((await connections()) !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await connectMany(port, 1_000);
    await idle();
    const files = openFilesOf(berth.pid);
    await connectMany(port, 9_000);
    await idle();
    const halfway = residentBytes(berth.pid);
    await connectMany(port, 10_000);
    await idle();
    const grown = residentBytes(berth.pid) - halfway;
    await eventually(
      () => `${files} descriptors, as after the first thousand, not ${openFilesOf(berth.pid)}`,
      () => openFilesOf(berth.pid) <= files,
    );
    assert.ok(grown < 16 << 20, `it grew by ${grown} bytes`);
    assert.equal(await berth.metric('berth_stick_table_entries{backend="b"}'), CLIENTS);
    assert.equal(await berth.metric('berth_frontend_connections_total{frontend="f"}'), 20_000);
    berth.signal('SIGTERM');
    assert.equal(await berth.exited, 0);
  } finally {
    await berth.stop();
    backend.close();
  }
});

async function connectMany(port: number, count: number): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) await connectOnce(port, next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** One connection that says how it is to be ended, hears it back where it can, and is over. */
function connectOnce(port: number, i: number): Promise<void> {
  const ending = ENDINGS[i % ENDINGS.length];
  return new Promise((resolve) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + (i % CLIENTS)}` }, () =>
      socket.write(Buffer.from([i % ENDINGS.length])),
    );
    socket.on('error', () => {});
    socket.once('data', () => {
      if (ending === 'client ends') socket.end();
      else if (ending === 'client resets') socket.resetAndDestroy();
    });
    socket.resume().once('close', () => resolve());
  });
}

function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(join('/proc', String(pid), 'status'), 'utf8'))?.[1];
  return Number(kilobytes) * 1_024;
}
