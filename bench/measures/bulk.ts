/** Bytes: what a gigabyte costs, and how fast it goes, alone and beside clients that do nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '../protocol.ts';
import type { Spent, Stage } from '../stage.ts';
import { readings, type Measure, type Reading, type Scale } from './measure.ts';

const MIB = 1 << 20;
const PACE = 60e6;
/** At least: a flow's first megabytes are dearer, by its connection and by windows that are small as yet. */
const FLOW_BYTES = 16 * MIB;
/** How long clients that have nothing to do are idle before the measurement. */
const IDLE_MS = 3_000;
/** More than there are large buffers in Berth. */
const STUCK = 150;
const BESIDE_STUCK = `, beside ${STUCK} clients that stopped reading`;

const UNITS: Readonly<Record<string, (spent: Spent) => number>> = {
  'CPU s/GB': ({ cpu, tally }) => cpu / (tally.bytes / 1e9),
  'GB/s': ({ clock, tally }) => tally.bytes / 1e9 / clock,
  // Who reads in another way has no figure.
  'KiB a read': ({ reads, tally }) => (reads.bytes < tally.bytes ? Number.NaN : reads.bytes / reads.calls / 1_024),
};

type Case = { kind: 'download' | 'upload'; flows: number; bytes: number; bytesPerSecond?: number };

/** A measurement takes HAProxy half a second of CPU or more: short transfers differ too much. */
function cases({ quick, size }: Scale): Case[] {
  const bytes = (quick ? 128 : 512) * MIB;
  const flows = (quick ? [1, 8] : [1, 8, 64]).map((count) => Math.max(1, Math.round(count * size)));
  const both = flows.flatMap((count): Case[] => {
    const each = { flows: count, bytes: Math.max(bytes, count * FLOW_BYTES) };
    return [
      { kind: 'download', ...each },
      { kind: 'upload', ...each },
    ];
  });
  return [...both, { kind: 'download', flows: flows[1] ?? 1, bytes: bytes / 2, bytesPerSecond: PACE }];
}

const nameOf = ({ kind, flows, bytesPerSecond }: Case): string =>
  `${kind}, ${flows} flow${flows === 1 ? '' : 's'}${bytesPerSecond === undefined ? '' : ' paced to 60 MB/s'}`;

async function compare(stage: Stage, each: Case, beside: string, quick: boolean): Promise<Reading[]> {
  const job = (port: number, bytes: number): Job => ({ ...each, port, bytesPerFlow: Math.round(bytes / each.flows) });
  // V8 compiles code while the code runs.
  for (const { port } of stage.running) await stage.perform(job(port, each.bytes / (quick ? 4 : 2)));
  const turns = each.bytesPerSecond !== undefined || quick ? 1 : each.flows > 8 ? 2 : 4;
  const spent = await stage.inTurns(turns, (balancer) => stage.spend(balancer, job(balancer.port, each.bytes)));
  return readings(`${nameOf(each)}${beside}`, spent, UNITS);
}

export const bulk: Measure = {
  title: 'Bulk transfer',
  async read(stage, scale) {
    const found: Reading[] = [];
    const all = cases(scale);
    for (const each of all) found.push(...(await compare(stage, each, '', scale.quick)));

    const some = all.filter(({ kind, flows }) => kind === 'download' && flows <= 8).slice(scale.quick ? 1 : 0);
    const clients = Math.round((scale.quick ? 200 : 1_000) * scale.size);
    for (const { port } of stage.running) {
      await stage.beside({ kind: 'stay', port, clients, bytesEach: 2 * MIB });
    }
    await sleep(IDLE_MS);
    for (const each of some)
      found.push(...(await compare(stage, each, `, beside ${clients} idle clients`, scale.quick)));
    await stage.beside({ kind: 'leave' });

    // One contender after another: the kernel keeps megabytes for each such client.
    for (const balancer of stage.running) {
      await stage.beside({ kind: 'stay', port: balancer.port, clients: STUCK, bytesEach: 24 * MIB, stuck: true });
      await sleep(IDLE_MS);
      for (const each of some) found.push(...(await compare(stage.only(balancer), each, BESIDE_STUCK, scale.quick)));
      await stage.beside({ kind: 'leave' });
    }
    return found;
  },
};
