/**
 * What a shared stick table costs the balancer: `npm run bench:shared`; `--rounds N`, `--quick`. Two Berths take turns
 * at the same work, one of them with `stickTable.shared` in a Redis of this machine: its CPU by that of the other is the
 * ratio of a round. Clients are known (no question), or new (a question each).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { askAt } from '../test/support/operator.ts';
import { startRedis } from '../test/support/redis.ts';
import { berth, type Contender } from './contenders.ts';
import { LATENCIES, readings } from './measures/measure.ts';
import type { Running } from './processes.ts';
import type { Job } from './protocol.ts';
import { rows, table, type Placed } from './report.ts';
import { Stage, type Spent } from './stage.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));

const [SHARED, ALONE] = ['Berth, a shared table', 'Berth'];
const LABELS = [SHARED, ALONE];
const UNITS: Readonly<Record<string, (spent: Spent) => number>> = {
  'CPU µs each': ({ cpu, tally }) => (cpu * 1e6) / tally.connections,
  'p50 ms': LATENCIES['p50 ms']!,
};
/** How long what follows a turn takes: keys that are taken away, or prolonged. */
const SETTLE_MS = 1_000;
const PARALLEL = 16;

function contenders(url: string, admins: Map<string, number>): readonly Contender[] {
  const plain = berth({ node: process.execPath, cli: resolve('dist/cli.js'), profileFolder: undefined });
  return LABELS.map((label) => ({
    label,
    prepare(into, listen, ports) {
      admins.set(label, listen.admin);
      const folder = mkdtempSync(join(into, 'contender-'));
      const words = plain.prepare(folder, listen, ports);
      const file = join(folder, 'balancer.yml');
      const lines = readFileSync(file, 'utf8');
      // With time for an answer: a machine at its limit is late for no fault of Redis's.
      const shared = `    stickTable: { shared: { url: '${url}', timeout: 3s } }\n    servers:\n`;
      if (label === SHARED) writeFileSync(file, lines.replace('    servers:\n', shared));
      return words;
    },
  }));
}

async function read(stage: Stage, forget: (balancer: Running) => Promise<void>): Promise<Placed[]> {
  const found: Placed[] = [];
  const visit = ({ port }: Running, sources: number, visits: number): Job => {
    return { kind: 'new', port, parallel: PARALLEL, sources, visits };
  };
  const [some, each] = quick ? [100, 20] : [500, 120];
  for (const balancer of stage.running) await stage.perform(visit(balancer, 64, some));
  const known = await stage.inTurns(quick ? 1 : 6, (balancer) => stage.spend(balancer, visit(balancer, 64, some / 4)));
  const fresh = await stage.inTurns(quick ? 1 : 6, async (balancer) => {
    await forget(balancer);
    return stage.spend(balancer, visit(balancer, PARALLEL * each, each));
  });
  const all = [...readings('a known client', known, UNITS), ...readings('a new client', fresh, UNITS)];
  for (const one of all) found.push({ measure: 'new', size: 1, round: 0, ...one });
  return found;
}

const closers: (() => Promise<void> | void)[] = [];
const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'));
try {
  const redis = await startRedis({ after: (close) => void closers.push(close as () => Promise<void>) });
  const admins = new Map<string, number>();
  const found: Placed[] = [];
  const forget = async ({ label }: Running): Promise<void> => {
    await askAt(`127.0.0.1:${admins.get(label)}`, 'DELETE', '/api/v1/table?backend=nodes&all=true');
    await pause(SETTLE_MS);
  };
  for (let round = 0; round < rounds; round++) {
    const stage = await Stage.open(round, contenders(redis.url, admins), folder);
    try {
      for (const one of await read(stage, forget)) found.push({ ...one, round });
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    } finally {
      await stage.close();
    }
  }
  console.log(`node ${process.version}, ${rounds > 1 ? `medians of ${rounds} rounds` : 'one round'}\n`);
  console.log(table(rows(found, LABELS, [ALONE]), LABELS, [ALONE]));
} finally {
  for (const close of closers) await close();
  rmSync(folder, { recursive: true });
}
