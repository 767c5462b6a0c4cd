import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { dial } from '../../../src/proxy/dial.ts';
import { openFilesOf } from '../../support/files.ts';
import { eventually } from '../../support/waiting.ts';

const NEVER_MS = 60_000;

function toPort(port: number): Socket {
  return connect({ port, host: '127.0.0.1' });
}

/** A port of 127.0.0.1 at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A port where connects hang: a process that listens and accepts nobody, its backlog full. */
class DeafPort implements AsyncDisposable {
  port = 0;
  readonly #child = spawn(process.execPath, [
    '-e',
    `const server = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       require('fs').writeSync(1, server.address().port + '\\n');
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     })`,
  ]);
  readonly #fill: Socket[] = [];

  static async open(): Promise<DeafPort> {
    const deaf = new DeafPort();
    deaf.port = await new Promise((resolve) => deaf.#child.stdout.once('data', (line) => resolve(Number(line))));
    for (let full = false; !full;) {
      const socket = toPort(deaf.port);
      deaf.#fill.push(socket);
      full = (await dial(socket, 500)).kind === 'failed';
    }
    return deaf;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#fill) socket.destroy();
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
}

test('a dial that is answered is connected, and says how long it took', async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = toPort((server.address() as AddressInfo).port);
  const before = timers();
  const gone = new AbortController();
  const attempt = dial(socket, NEVER_MS, gone.signal);
  const dialled = await attempt;
  assert.ok(dialled.kind === 'connected' && dialled.seconds > 0);
  assert.equal(timers(), before);
  // Who leaves now leaves a socket that is somebody else's.
  gone.abort();
  assert.ok(!socket.destroyed);
  // Whatever comes late is nobody's business: no uncaught error, and the outcome stands.
  socket.destroy(new Error('late'));
  assert.equal((await attempt).kind, 'connected');
  server.close();
});

test('a dial that is refused fails at once, with the reason', async () => {
  const socket = toPort(await closedPort());
  assert.deepEqual(await dial(socket, NEVER_MS), {
    kind: 'failed',
    failure: { reason: 'refused', text: 'connection refused' },
  });
  assert.ok(socket.destroyed);
});

test('a dial that nobody answers fails when its time is up', async () => {
  await using deaf = await DeafPort.open();
  const socket = toPort(deaf.port);
  assert.deepEqual(await dial(socket, 20), {
    kind: 'failed',
    failure: { reason: 'timeout', text: 'connect timed out' },
  });
  assert.ok(socket.destroyed);
});

test('a dial that is abandoned while it waits ends there and then', async () => {
  await using deaf = await DeafPort.open();
  const [filesBefore, timersBefore] = [openFilesOf(process.pid), timers()];
  const sockets = Array.from({ length: 20 }, () => toPort(deaf.port));
  const gone = new AbortController();
  const attempts = sockets.map((socket) => dial(socket, NEVER_MS, gone.signal));
  gone.abort();
  for (const attempt of attempts) assert.deepEqual(await attempt, { kind: 'abandoned' });
  assert.equal(timers(), timersBefore);
  await eventually(
    () => `${openFilesOf(process.pid)} descriptors, ${filesBefore} before`,
    () => openFilesOf(process.pid) === filesBefore,
  );
});

test('a dial for a client that has gone already is abandoned', async () => {
  const socket = toPort(await closedPort());
  const before = timers();
  assert.deepEqual(await dial(socket, NEVER_MS, AbortSignal.abort()), { kind: 'abandoned' });
  assert.ok(socket.destroyed);
  assert.ok(timers() <= before);
});

test('a dial that is abandoned as it fails is abandoned, and its error is not uncaught', async () => {
  const socket = toPort(await closedPort());
  const gone = new AbortController();
  const attempt = dial(socket, NEVER_MS, gone.signal);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  gone.abort();
  socket.emit('error', Object.assign(new Error('late'), { code: 'ECONNREFUSED' }));
  assert.deepEqual(await attempt, { kind: 'abandoned' });
  await closed;
});

test('many dials leave neither a timer nor a descriptor', async () => {
  const port = await closedPort();
  const [filesBefore, timersBefore] = [openFilesOf(process.pid), timers()];
  for (let round = 0; round < 10; round++) {
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => dial(toPort(port), NEVER_MS)));
    assert.ok(outcomes.every(({ kind }) => kind === 'failed'));
  }
  assert.equal(timers(), timersBefore);
  await eventually(
    () => `${openFilesOf(process.pid)} descriptors, ${filesBefore} before`,
    () => openFilesOf(process.pid) === filesBefore,
  );
});
