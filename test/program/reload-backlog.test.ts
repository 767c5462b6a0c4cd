/** Clients that have connected to a frontend and were not accepted yet when a reload removes the frontend. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { status } from '../support/operator.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';

/** One connection is accepted a turn of the loop, so a reload is over long before this many are. */
const MANY = 40;

test('a client that a removed frontend takes from its backlog is counted, ended and recorded', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const two = { f: { bind: '127.0.0.1:0', backend: 'b' }, g: { bind: '127.0.0.1:0', backend: 'b' } };
  const berth = await start(t, { ...plain, frontends: two });
  const port = await berth.port('g');
  process.kill(berth.pid, 'SIGSTOP');
  // These are gone before they are accepted, so that the frontend has no connection when the reload removes it.
  for (let i = 0; i < MANY; i++) {
    const gone = new Client({ port });
    await once(gone.socket, 'connect');
    gone.socket.resetAndDestroy();
  }
  const live = new Client({ port });
  await once(live.socket, 'connect');
  writeFileSync(berth.file, yaml({ ...plain, frontends: { f: two.f } }));
  process.kill(berth.pid, 'SIGHUP');
  process.kill(berth.pid, 'SIGCONT');
  await live.line();
  await berth.line(({ msg }) => msg === 'reloaded');
  const connections = (await status(berth)).frontends.map(({ name, connections: open }) => [name, open]);
  assert.deepEqual(connections, [
    ['f', 0],
    ['g', 1],
  ]);
  process.kill(berth.pid, 'SIGTERM');
  await berth.line(({ msg }) => msg === 'draining');
  process.kill(berth.pid, 'SIGTERM');
  const { end } = await berth.line(({ msg, frontend }) => msg === 'connection' && frontend === 'g');
  assert.equal(end, 'KD');
  assert.equal(await berth.exited, 0);
});
