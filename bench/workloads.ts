/** What is measured: the workloads. Each has a job, a smaller job that warms a fresh process up, and a unit of work. */
import type { Job, Tally } from './protocol.ts';

export type Group = 'bytes' | 'kept' | 'new';
export const GROUPS: readonly Group[] = ['bytes', 'kept', 'new'];

export interface Workload {
  name: string;
  group: Group;
  /** The unit of the figure, which is the CPU time of one unit of work. */
  unit: string;
  /** The figure is CPU seconds times `scale`, divided by `work`. */
  scale: number;
  /** How many units of work were done. */
  work(tally: Tally): number;
  /** The unit of the rate. The load generator bounds the rate, so it is for information only. */
  rateUnit: string;
  warmUp(port: number): Job;
  job(port: number): Job;
  /** Who is connected meanwhile, and has nothing to do. */
  beside?(port: number): Job;
  /** At most so many times the CPU of HAProxy with its defaults may Berth need. */
  goal: number;
}

/**
 * Sizes of a job. A measurement has several jobs and takes HAProxy half a second of CPU or more, because the clock of
 * /proc steps by 10 ms. Berth needs the warm-up: V8 compiles code while the code runs.
 */
const BULK_BYTES = 512 * 1024 ** 2;
const BULK_WARM_UP_BYTES = 256 * 1024 ** 2;
/** Each downloads more than a balancer reads at once. */
const IDLE = { clients: 1_000, bytesEach: 2 * 1024 ** 2 };
const KEPT = { connections: 16, requests: 2_000, warmUp: 3_000 };
const NEW = { parallel: 16, sources: 64, visits: 150, warmUp: 500 };

function bulk(kind: 'download' | 'upload', flows: number): Workload {
  const job = (port: number, bytes: number): Job => ({ kind, port, flows, bytesPerFlow: bytes / flows });
  return {
    name: `${kind}, ${flows} flow${flows === 1 ? '' : 's'}`,
    group: 'bytes',
    unit: 'CPU s/GB',
    scale: 1,
    work: (tally) => tally.bytes / 1e9,
    rateUnit: 'GB/s',
    warmUp: (port) => job(port, BULK_WARM_UP_BYTES),
    job: (port) => job(port, BULK_BYTES),
    goal: 0.6,
  };
}

/** The same, beside clients that are idle after a download. */
function besideIdle(workload: Workload): Workload {
  const { clients, bytesEach } = IDLE;
  return {
    ...workload,
    name: `${workload.name}, beside ${clients} idle clients`,
    beside: (port) => ({ kind: 'stay', port, clients, bytesEach }),
  };
}

function kept(): Workload {
  const { connections } = KEPT;
  const job = (port: number, count: number): Job => ({ kind: 'kept', port, connections, requestsPerConnection: count });
  return {
    name: 'requests on kept connections',
    group: 'kept',
    unit: 'CPU µs each',
    scale: 1e6,
    work: (tally) => tally.requests,
    rateUnit: '/s',
    warmUp: (port) => job(port, KEPT.warmUp),
    job: (port) => job(port, KEPT.requests),
    goal: 1.15,
  };
}

function fresh(): Workload {
  const { parallel, sources } = NEW;
  const job = (port: number, visits: number): Job => ({ kind: 'new', port, parallel, sources, visits });
  return {
    name: 'new connections',
    group: 'new',
    unit: 'CPU µs each',
    scale: 1e6,
    work: (tally) => tally.connections,
    rateUnit: '/s',
    warmUp: (port) => job(port, NEW.warmUp),
    job: (port) => job(port, NEW.visits),
    goal: 2.5,
  };
}

export function workloads(groups: readonly Group[]): Workload[] {
  const all = [
    bulk('download', 1),
    bulk('download', 8),
    besideIdle(bulk('download', 8)),
    bulk('upload', 1),
    bulk('upload', 8),
    kept(),
    fresh(),
  ];
  return all.filter(({ group }) => groups.includes(group));
}
