/**
 * What is measured: each case has a full size and a smaller one to warm a fresh process with, and knows what one unit
 * of its work is.
 */
import type { Job, Tally } from './protocol.ts';

export type Group = 'bytes' | 'kept' | 'new';
export const GROUPS: readonly Group[] = ['bytes', 'kept', 'new'];

export interface Case {
  name: string;
  group: Group;
  /** Of the figure: CPU time for one unit of work. */
  unit: string;
  /** Multiplies CPU seconds; the work of `tally` divides them. */
  scale: number;
  work(tally: Tally): number;
  /** Of the rate, which the load generator bounds: for information only. */
  rateUnit: string;
  warmUp(port: number): Job;
  job(port: number): Job;
  /** The CPU of Berth as a multiple of HAProxy's defaults that it is not to exceed. */
  goal: number;
}

/**
 * Sizes of one job. A measurement is several of them and takes HAProxy half a second of CPU or more, as the clock of
 * /proc steps by 10 ms. A balancer that is compiled as it runs needs the warm-up.
 */
const BULK_BYTES = 512 * 1024 ** 2;
const BULK_WARM_UP_BYTES = 256 * 1024 ** 2;
const KEPT = { connections: 16, requests: 2_000, warmUp: 3_000 };
const NEW = { parallel: 16, sources: 64, visits: 150, warmUp: 500 };

function bulk(kind: 'download' | 'upload', flows: number): Case {
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

function kept(): Case {
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

function fresh(): Case {
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

export function cases(groups: readonly Group[]): Case[] {
  const all = [bulk('download', 1), bulk('download', 8), bulk('upload', 1), bulk('upload', 8), kept(), fresh()];
  return all.filter((one) => groups.includes(one.group));
}
