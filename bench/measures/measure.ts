/** What a measure is, and what several of them say in the same way. */
import type { Running } from '../processes.ts';
import type { Spent, Stage } from '../stage.ts';

/** One figure of one contender in one round. */
export interface Reading {
  /** What was done: readings of the same case and unit are compared. */
  case: string;
  unit: string;
  contender: string;
  value: number;
}

/** How much is done: `size` multiplies clients, flows and requests, `quick` makes a run short and coarse. */
export interface Scale {
  quick: boolean;
  size: number;
}

export interface Measure {
  /** For people. */
  title: string;
  /** Reads all contenders once, in turns. */
  read(stage: Stage, scale: Scale): Promise<Reading[]>;
}

/** The value below which `share` of `values` lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Readings of each contender; figures that it does not have are left out. */
export function readings(
  name: string,
  spent: ReadonlyMap<Running, Spent>,
  units: Readonly<Record<string, (spent: Spent) => number>>,
): Reading[] {
  return [...spent].flatMap(([{ label }, each]) =>
    Object.entries(units)
      .map(([unit, of]) => ({ case: name, unit, contender: label, value: of(each) }))
      .filter(({ value }) => !Number.isNaN(value)),
  );
}

/** How long requests took. */
export const LATENCIES: Readonly<Record<string, (spent: Spent) => number>> = {
  'p50 ms': ({ tally }) => quantile(tally.tookMs, 0.5),
  'p99 ms': ({ tally }) => quantile(tally.tookMs, 0.99),
  'p99.9 ms': ({ tally }) => quantile(tally.tookMs, 0.999),
};
