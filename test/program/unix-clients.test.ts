import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Berth } from '../support/berth.ts';

async function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {}).resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

test('clients of a unix socket are turned away and cut off without harm to the others', async () => {
  // Resets whoever sends it something.
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.resetAndDestroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const folder = mkdtempSync(join(tmpdir(), 'berth-unix-'));
  const path = (name: string): string => join(folder, `${name}.sock`);
  const berth = new Berth(
    `frontends:
  f: { bind: "unix:${path('f')}", backend: b, maxConnections: 1 }
  nobody: { bind: "unix:${path('nobody')}", backend: nobody }
backends:
  b: { healthCheck: false, servers: { s1: "127.0.0.1:${port}" } }
  nobody: { healthCheck: false, retries: 0, servers: { s1: "127.0.0.1:1" } }
metrics: { bind: "127.0.0.1:0" }
`,
  );
  try {
    await berth.line(({ msg }) => msg === 'started');
    await closed(connect(path('nobody')));
    const first = connect(path('f'));
    await new Promise((resolve) => first.once('connect', resolve));
    // One is let in, and the next is one too many.
    await closed(connect(path('f')));
    first.write('x');
    await closed(first);
    const ends = (await berth.connections(2)).map(({ frontend, client, end }) => ({ frontend, client, end }));
    assert.deepEqual(ends, [
      { frontend: 'nobody', client: 'unix', end: 'SC' },
      { frontend: 'f', client: 'unix', end: 'SD' },
    ]);
    berth.signal('SIGTERM');
    assert.equal(await berth.exited, 0);
  } finally {
    await berth.stop();
    server.close();
    rmSync(folder, { recursive: true });
  }
});
