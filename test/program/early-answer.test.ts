import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { settings } from '../support/settings.ts';

/**
 * A server that answers and closes while its client is still sending, which makes its kernel reset the connection. In a
 * process of its own, as its answer and Berth's next write must be able to cross.
 */
const HASTY_SERVER = `
  const server = require('node:net').createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    setTimeout(() => socket.write('no', () => socket.destroy()), 5);
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;

const TRIES = 200;
/** Most that may be lost. Without a balancer between them it is 1 in 100. */
const LOST = TRIES / 20;

test(
  'an answer that a server gave before it closed under a sender reaches the client',
  { timeout: 60_000 },
  async (t) => {
    const server = spawn(process.execPath, ['-e', HASTY_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => server.kill());
    const [port] = (await once(server.stdout, 'data')) as [Buffer];
    const berth = await start(t, settings([Number(port)]));
    const balanced = await berth.port();
    let answered = 0;
    for (let i = 0; i < TRIES; i++) if ((await sendUntilClosed(balanced)) === 'no') answered++;
    t.diagnostic(`${answered} of ${TRIES}`);
    assert.ok(answered >= TRIES - LOST, `${answered} of ${TRIES}`);
  },
);

/** What came back. */
async function sendUntilClosed(port: number): Promise<string> {
  let got = '';
  const client = connect({ port, host: '127.0.0.1' });
  const block = Buffer.alloc(64 << 10);
  const timer = setInterval(() => client.write(block), 1);
  client.on('data', (chunk) => (got += chunk.toString()));
  client.on('error', () => {});
  await new Promise((resolve) => client.once('close', resolve));
  clearInterval(timer);
  return got;
}
