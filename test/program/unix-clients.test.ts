import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { resets, serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';

async function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {}).resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

test('clients of a unix socket are turned away and cut off without harm to the others', async (t) => {
  const servers = await serve(t, ['s1'], resets);
  const folder = folderOf(t);
  const path = (name: string): string => join(folder, `${name}.sock`);
  const plain = settings(servers, { healthCheck: false }, {}, { bind: `unix:${path('f')}`, maxConnections: 1 });
  const berth = await start(t, {
    ...plain,
    frontends: { ...plain.frontends, nobody: { bind: `unix:${path('nobody')}`, backend: 'nobody' } },
    backends: { ...plain.backends, nobody: { healthCheck: false, retries: 0, servers: { s1: '127.0.0.1:1' } } },
  });
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
});
