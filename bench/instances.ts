/**
 * What a second Berth on the same port (`reusePort`) gains: new connections and bytes a second of one process and of
 * two, the CPU of both together, how many clients they split, and what it costs clients when one of them is killed.
 * `npm run bench:instances -- --rounds 3`; needs Node 22.12. Load generators and nodes take cores as well: what two
 * gain is seen where there are cores to spare.
 */
import { cpus, loadavg } from 'node:os';
import { test, type TestContext } from 'node:test';
import { parseArgs } from 'node:util';
import { start, type Berth } from '../test/support/berth.ts';
import { Crowd, whoServes } from '../test/support/people.ts';
import { serve } from '../test/support/servers.ts';
import { settings } from '../test/support/settings.ts';
import { eventually } from '../test/support/waiting.ts';
import { freePorts } from './ports.ts';
import { cpuSeconds } from './processes.ts';
import type { Job, Tally } from './protocol.ts';
import { figure } from './report.ts';
import { benchNodes, loadGenerator } from './stage.ts';

const MIB = 1 << 20;
const NODES = 4;
/** A single load generator would be the limit. */
const GENERATORS = 2;
const CLIENTS = 200;
const AT_ONCE = 6;
const CROWD = 24;

const options = { rounds: { type: 'string', default: '3' }, size: { type: 'string', default: '1' } } as const;
const { values } = parseArgs({ options });
const [rounds, size] = [Number(values.rounds), Number(values.size)];

async function instances(t: TestContext, count: number, servers: readonly (number | string)[]) {
  const [port = 0] = await freePorts(1);
  const bind = { bind: { address: `127.0.0.1:${port}`, reusePort: true } };
  const quiet = { log: { connections: false } };
  const file = settings(servers, { balance: 'source', healthCheck: false }, quiet, bind);
  const berths: Berth[] = [];
  for (let i = 0; i < count; i++) berths.push(await start(t, file));
  return { port, berths };
}

type Generator = ReturnType<typeof loadGenerator>;
type Spent = { readonly clock: number; readonly cpu: number; readonly tallies: readonly Tally[] };

/** Has each generator do the job; the CPU is that of all instances. */
async function spend(berths: readonly Berth[], generators: readonly Generator[], job: Job): Promise<Spent> {
  const cpu = (): number => berths.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  const [before, startedMs] = [cpu(), performance.now()];
  const tallies = await Promise.all(generators.map((generate) => generate(job)));
  return { clock: (performance.now() - startedMs) / 1_000, cpu: cpu() - before, tallies };
}

const sum = (tallies: readonly Tally[], of: 'bytes' | 'connections'): number =>
  tallies.reduce((total, tally) => total + tally[of], 0);
const shown = (value: number): string => String(Number(value.toPrecision(3)));

test('one process and two', async (t) => {
  const [cpu] = cpus();
  const load = loadavg()[0]?.toFixed(1);
  console.log(`Node ${process.version}, ${cpus().length} cores of ${cpu?.model}, load ${load} before the run`);
  const ports = await benchNodes(t, NODES);
  const generators = Array.from({ length: GENERATORS }, () => loadGenerator(t));
  const found = new Map<string, number[]>();
  const tell = (what: string, value: number): void => void found.set(what, [...(found.get(what) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    for (const count of round % 2 === 0 ? [1, 2] : [2, 1]) {
      const { port, berths } = await instances(t, count, ports);
      const visits = Math.round(80 * size);
      const fresh: Job = { kind: 'new', port, parallel: 16, sources: CLIENTS, visits };
      const bulk: Job = { kind: 'download', port, flows: 4, bytesPerFlow: Math.round(128 * MIB * size) };
      // V8 compiles code while the code runs.
      await spend(berths, generators, fresh);
      const came = await spend(berths, generators, fresh);
      const moved = await spend(berths, generators, bulk);
      tell(`${count}: new connections a second`, sum(came.tallies, 'connections') / came.clock);
      tell(`${count}: CPU µs a new connection`, (came.cpu * 1e6) / sum(came.tallies, 'connections'));
      tell(`${count}: GB a second`, sum(moved.tallies, 'bytes') / 1e9 / moved.clock);
      tell(`${count}: CPU s a GB`, moved.cpu / (sum(moved.tallies, 'bytes') / 1e9));
      await Promise.all(berths.map((berth) => berth.stop()));
    }
  }
  for (const [what, samples] of found) {
    const { median, min, max } = figure(samples);
    console.log(`${what}: ${shown(median)} (${shown(min)} to ${shown(max)})`);
  }
});

test('two share clients and none is split; then one is killed', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3', 's4']);
  const { port, berths } = await instances(
    t,
    2,
    servers.map(({ address }) => address),
  );
  let split = 0;
  for (let client = 1; client <= CLIENTS; client++) {
    const calls = Array.from({ length: AT_ONCE }, () => whoServes(port, `127.9.0.${client}`));
    if (new Set(await Promise.all(calls)).size > 1) split++;
  }
  const taken = await Promise.all(
    berths.map((berth) => berth.metric('berth_frontend_connections_total{frontend="f"}')),
  );
  console.log(
    `${split} of ${CLIENTS} new clients split, ${AT_ONCE} connections each; by instance ${taken.join(' and ')}`,
  );

  const crowd = new Crowd(port, CROWD);
  await eventually('the crowd', () => crowd.calls > 20 * CROWD);
  berths[0]?.signal('SIGKILL');
  const { calls } = crowd;
  await eventually('the crowd to go on', () => crowd.calls > calls + 20 * CROWD);
  await crowd.leave();
  const { failures } = crowd;
  console.log(
    `one of two killed: ${failures.length} of ${CROWD} connections at once were cut off; ${crowd.split} clients split`,
  );
});
