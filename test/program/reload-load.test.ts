import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { openFilesOf } from '../support/files.ts';
import { api } from '../support/operator.ts';
import { Crowd } from '../support/people.ts';
import { preload } from '../support/preload.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Lets a test ask for a collection of garbage: SIGUSR2. */
const WITH_GC = preload(`
  require('node:v8').setFlagsFromString('--expose-gc');
  const collect = require('node:vm').runInNewContext('gc');
  process.on('SIGUSR2', () => collect());`);

/** Bytes of heap in use after a collection: the least of some, for what is on the way when it comes. */
async function heap(berth: Berth): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 5; i++) {
    berth.signal('SIGUSR2');
    least = Math.min(least, (await berth.metric('nodejs_heap_size_used_bytes')) ?? Infinity);
  }
  return least;
}

async function reloads(berth: Berth, count: number, files: readonly string[]): Promise<void> {
  for (let i = 0; i < count; i++) {
    writeFileSync(berth.file, files[i % files.length]!);
    const { status, body } = await api(berth, 'POST', '/api/v1/reload');
    assert.equal(status, 200, JSON.stringify(body));
  }
}

test('200 reloads under load: not one connection fails, memory and descriptors stay where they are', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3', 's4']);
  const list = (weights: Record<string, number>): object =>
    Object.fromEntries(
      servers
        .filter(({ name }) => name in weights)
        .map(({ name, address }) => [name, { address, weight: weights[name] }]),
    );
  const quiet = { log: { connections: false } };
  const one = settings([], { servers: list({ s1: 1, s2: 1, s3: 1 }), stickTable: { size: 100 } }, quiet);
  const two = settings([], { servers: list({ s2: 5, s3: 1, s4: 2 }), stickTable: { size: 2_000 } }, quiet);
  const more = { ...two.frontends, g: { bind: ['127.0.0.1:0', '127.0.0.2:0'], backend: 'b' } };
  const files = [yaml({ ...two, frontends: more }), yaml(one)];

  const berth = await start(t, one, { env: WITH_GC });
  const port = await berth.port();
  const long = ['127.3.0.1', '127.3.0.2', '127.3.0.3'].map((from) => new Client({ port, from }));
  const names = await Promise.all(long.map((client) => client.line()));
  const idle = openFilesOf(berth.pid);

  const crowd = new Crowd(port, 6);
  const marks: number[] = [];
  let said = '';
  for (let round = 0; round < 4; round++) {
    for (const client of long) client.socket.write(`round ${round}.`);
    said += `round ${round}.`;
    await reloads(berth, 50, files);
    for (const [i, client] of long.entries()) await client.bytes(`${names[i]}\n${said}`.length);
    marks.push(await heap(berth));
  }
  await crowd.leave();

  assert.deepEqual(crowd.failures, []);
  t.diagnostic(
    `${crowd.calls} connections; heap after each 50 reloads: ${marks.map((n) => `${n >> 10} KiB`).join(', ')}`,
  );
  for (const [i, client] of long.entries()) assert.equal(client.received.toString(), `${names[i]}\n${said}`);
  // What a reload leaves behind would be there 100 times over between these two.
  assert.ok(marks[3]! - marks[1]! < 100 * 10 * 1024, `heap grows: ${marks.join(', ')}`);
  await eventually('the descriptors of before', () => openFilesOf(berth.pid) === idle);
  await Promise.all(long.map((client) => client.finish()));
  const ended = await berth.get('/metrics');
  const ends = [...ended.text.matchAll(/^berth_backend_connections_ended_total\{.*end="(.*)"\} (\d+)$/gm)];
  assert.deepEqual(
    ends.filter(([, , count]) => count !== '0').map(([, end]) => end),
    ['--'],
  );
});

test('a reload that replaces every server leaves no moment without one, though their names must be looked up', async (t) => {
  // `localhost` is asked of the system's resolver like any name.
  const node = createServer((socket) => {
    socket.on('error', () => {}).write('node\n');
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(node, 'listening');
  t.after(() => node.close());
  const address = `localhost:${(node.address() as AddressInfo).port}`;
  const file = (generation: number): string => {
    const names = [1, 2, 3].map((i) => ({ name: `s${i}-${generation}`, address }));
    return yaml(settings(names, {}, { log: { connections: false } }));
  };
  const berth = await start(t, file(0));
  const crowd = new Crowd(await berth.port(), 6);
  await reloads(
    berth,
    40,
    Array.from({ length: 40 }, (_, i) => file(i + 1)),
  );
  await crowd.leave();
  assert.deepEqual(crowd.failures, []);
});
