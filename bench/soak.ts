/**
 * Berth at full load for ten minutes, with everything that changes in the field: clients that reset, crowds whose
 * bindings expire together, reloads, answers of DNS. At the end memory is flat and no descriptor was gained.
 * `npm run soak`; `npm run soak -- --minutes 1` is shorter, `--pause 50` leaves so many milliseconds between jobs.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { start, type Berth } from '../test/support/berth.ts';
import { NO_DNS, resolver } from '../test/support/dns.ts';
import { folderOf, openFilesOf } from '../test/support/files.ts';
import { askAt, reload } from '../test/support/operator.ts';
import { preload } from '../test/support/preload.ts';
import { settings, type Settings } from '../test/support/settings.ts';
import { eventually } from '../test/support/waiting.ts';
import { figure } from './report.ts';
import { quantile } from './measures/measure.ts';
import { residentBytes } from './processes.ts';
import { bulkHeader, DOWNLOAD } from './protocol.ts';
import { benchNodes, loadGenerator } from './stage.ts';

const MIB = 1 << 20;
const CROWD = 10_000;
const CROWD_AT_ONCE = 200;
/** Memory at the end, of what it was after the first quarter. A process that is minutes old has not settled yet. */
const GROWS_AT_MOST = 1.15;
const SETTLES_MINUTES = 5;

/** How late timers of 10 ms were in the program, in nanoseconds, which it writes to a file when it ends. */
const DELAY = preload(`
  const delay = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  process.on('exit', () => {
    const late = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) => ns - 10e6);
    require('node:fs').writeFileSync(process.env.BERTH_SOAK_DELAY, JSON.stringify(late));
  });`);

const { minutes, pause } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, pause: { type: 'string', default: '0' } },
}).values;
const endsMs = performance.now() + Number(minutes) * 60_000;
const pauseMs = Number(pause);

/** Does `act` again and again until the soak ends. */
async function again(everyMs: number, act: () => unknown): Promise<void> {
  while (performance.now() < endsMs) {
    await act();
    await sleep(everyMs);
  }
}

/** A client that resets in the middle of its download. */
function resets(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: '127.3.0.1' });
    socket.once('data', () => socket.resetAndDestroy());
    socket.on('error', () => {}).once('close', () => resolve());
    socket.write(bulkHeader(DOWNLOAD, 8 * MIB));
  });
}

/** A client of its own address that says nothing, and leaves. */
function passes(port: number, client: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.4.${client >> 8}.${client & 255}` });
    socket.once('connect', () => socket.end()).resume();
    socket.on('error', () => {}).once('close', () => resolve());
  });
}

async function crowd(port: number): Promise<void> {
  for (let from = 0; from < CROWD; from += CROWD_AT_ONCE) {
    await Promise.all(Array.from({ length: CROWD_AT_ONCE }, (_, i) => passes(port, from + i)));
  }
}

async function soak(t: TestContext, berth: Berth, other: Settings, config: Settings): Promise<Record<string, number>> {
  const port = await berth.port();
  const metrics = String((await berth.line(({ msg }) => msg === 'metrics listening'))['address']);
  const [bytes, talk] = [loadGenerator(t), loadGenerator(t)];
  const answersMs: number[] = [];
  const samples: { bytes: number; files: number }[] = [];
  let [reloads, crowds] = [0, 0];
  const open = openFilesOf(berth.pid);

  await Promise.all([
    again(pauseMs, () => bytes({ kind: 'download', port, flows: 8, bytesPerFlow: 16 * MIB })),
    again(pauseMs, async () => {
      await talk({ kind: 'new', port, parallel: 16, sources: 250, visits: 20 });
      await talk({ kind: 'kept', port, connections: 16, requestsPerConnection: 100 });
    }),
    again(20 + pauseMs, () => resets(port)),
    again(15_000, () => crowd(port).then(() => crowds++)),
    again(3_000, async () => {
      const { msg } = await reload(berth, ++reloads % 2 === 1 ? other : config);
      assert.equal(msg, 'reloaded');
    }),
    again(50, async () => {
      const askedMs = performance.now();
      assert.equal((await askAt(metrics, 'GET', '/healthz')).status, 200);
      answersMs.push(performance.now() - askedMs);
    }),
    again(2_000, () => samples.push({ bytes: residentBytes(berth.pid), files: openFilesOf(berth.pid) })),
  ]);

  await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  let after = Infinity;
  await eventually('every descriptor is closed', () => (after = openFilesOf(berth.pid)) <= open);
  const quarter = Math.ceil(samples.length / 4);
  const median = (some: readonly { bytes: number }[]): number => figure(some.map((one) => one.bytes)).median / 1e6;
  const [early, late] = [median(samples.slice(quarter, 2 * quarter)), median(samples.slice(-quarter))];
  const said = {
    minutes: Number(minutes),
    reloads,
    crowds,
    connections: Number(await berth.metric('berth_frontend_connections_total{frontend="f"}')),
    'MB early': early,
    'MB late': late,
    'healthz p50 ms': quantile(answersMs, 0.5),
    'healthz p99 ms': quantile(answersMs, 0.99),
    'healthz most ms': Math.max(...answersMs),
    'descriptors before': open,
    'descriptors after': after,
    'descriptors at most': Math.max(...samples.map(({ files }) => files)),
  };
  if (Number(minutes) >= SETTLES_MINUTES) assert.ok(late <= early * GROWS_AT_MOST, JSON.stringify(said));
  return said;
}

test(`${minutes} minutes at full load leave nothing behind`, { skip: NO_DNS }, async (t) => {
  const ports = await benchNodes(t, 4);
  const { dns, through } = await resolver(t);
  dns.addresses('node.test', '127.0.0.1');
  const nodes = [...ports.slice(0, 3), `node.test:${ports[3]}`];
  const backendKeys = { stickTable: { expire: '5s' }, resolveInterval: '1s', healthCheck: { interval: '500ms' } };
  const config = settings(nodes, backendKeys, { log: { connections: false } });
  const other = settings(nodes.slice(1), { ...backendKeys, balance: 'leastconn' }, { log: { connections: false } });
  const delays = join(folderOf(t), 'delays');
  const berth = await start(t, config, { through, env: { ...DELAY, BERTH_SOAK_DELAY: delays } });
  // Nobody listens at the other address.
  const flips = again(2_000, () => {
    const there = dns.records.get('node.test')?.some((answer) => 'data' in answer && answer.data === '127.0.0.1');
    dns.addresses('node.test', there === true ? '127.0.0.9' : '127.0.0.1');
  });
  const said = await soak(t, berth, other, config);
  await flips;
  berth.signal('SIGTERM');
  assert.equal(await berth.exited, 0);
  const [half = 0, most = 0, longest = 0] = JSON.parse(readFileSync(delays, 'utf8')) as number[];
  const late = {
    'loop delay p50 ms': half / 1e6,
    'loop delay p99 ms': most / 1e6,
    'loop delay most ms': longest / 1e6,
  };
  for (const [what, value] of Object.entries({ ...said, ...late })) {
    t.diagnostic(`${what}: ${Number.isInteger(value) ? value : value.toFixed(2)}`);
  }
});
