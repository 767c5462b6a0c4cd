import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Pattern, Peer } from '../support/peer.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 1 << 20;
const DOWN = new Pattern(7);
/** As many as there are large buffers. */
const CLIENTS = 128;
const DOWNLOAD_BYTES = 2 * MIB;

/** What the process has in memory. */
async function memoryOf(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'latin1'))?.[1]) << 10;
}

test('clients that stay after a download do not keep the memory of the download', { timeout: 60_000 }, async (t) => {
  const [server] = await serve(t, ['s'], (socket) => {
    // One download for each byte that the client says.
    const peer = new Peer(socket);
    socket.on('data', (bytes: Buffer) => void peer.send(DOWN, bytes.length * DOWNLOAD_BYTES));
  });
  const berth = await start(t, settings([server!]));
  const port = await berth.port();
  const clients = Array.from({ length: CLIENTS }, () => new Peer(connect(port, '127.0.0.1')));
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const download = async (nth: number): Promise<void> => {
    for (const client of clients) {
      client.expects = DOWN;
      client.socket.write('.');
    }
    await Promise.all(clients.map((client) => client.gets(nth * DOWNLOAD_BYTES)));
  };
  await download(1);
  const busy = await memoryOf(berth.pid);
  let now = busy;
  await eventually(
    () => `the process to give back most of ${CLIENTS} MiB; it had ${busy / MIB} MiB and has ${now / MIB}`,
    async () => (now = await memoryOf(berth.pid)) < busy - (CLIENTS / 2) * MIB,
  );
  await download(2);
  assert.deepEqual(
    clients.map(({ corruptAt }) => corruptAt).filter((at) => at !== undefined),
    [],
  );
});
