/** From samples to the figures, the table and the goals: pure. */
import type { Workload } from './workloads.ts';

/** One measurement of one contender. */
export interface Sample {
  /** CPU time for one unit of work, in the unit of the workload. */
  cpu: number;
  /** Units of work in a second of the clock. The load generator bounds this rate, so it is for information only. */
  rate: number;
}

/** Several samples of one quantity, and what is shown of them. */
export interface Figure {
  median: number;
  min: number;
  max: number;
  samples: number[];
}

/** A workload with the figures of all contenders. */
export interface Row {
  name: string;
  group: string;
  unit: string;
  rateUnit: string;
  goal: number;
  contenders: { label: string; cpu: Figure; rate: Figure }[];
  /** The first contender's CPU over the second's: of the medians, and the least and the greatest within one round. */
  ratio: { ofMedians: number; min: number; max: number };
}

export interface Machine {
  subject: string;
  node: string;
  haproxy: string;
  kernel: string;
  cpu: string;
  cores: number;
  /** The load average of the minute before the run: other processes disturb the figures. */
  load: number;
}

/** Sums `samples` up; without samples, all numbers are NaN. */
export function figure(samples: number[]): Figure {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), samples };
}

/**
 * `samples` has a list for each contender, the subject's first and the reference's second, with a sample of each
 * round.
 */
export function row(workload: Workload, labels: readonly string[], samples: readonly Sample[][]): Row {
  const { name, group, unit, rateUnit, goal } = workload;
  const contenders = labels.map((label, index) => {
    const own = samples[index] ?? [];
    return { label, cpu: figure(own.map((sample) => sample.cpu)), rate: figure(own.map((sample) => sample.rate)) };
  });
  const cpu = (index: number): Figure => contenders[index]?.cpu ?? figure([]);
  const inRounds = figure(cpu(0).samples.map((value, round) => value / (cpu(1).samples[round] ?? Number.NaN)));
  const ratio = { ofMedians: cpu(0).median / cpu(1).median, min: inRounds.min, max: inRounds.max };
  return { name, group, unit, rateUnit, goal, contenders, ratio };
}

/** Three significant digits, without an exponent. */
function number(value: number): string {
  if (Number.isNaN(value)) return '-';
  const decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(decimals);
}

function spread({ median, min, max }: Figure): string {
  return `${number(median)} (${number(min)}..${number(max)})`;
}

function align(lines: readonly string[][]): string[] {
  const widths: number[] = [];
  for (const line of lines) line.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)));
  return lines.map((line) =>
    line
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

export function cpuTable(rows: readonly Row[], labels: readonly string[]): string {
  const head = ['CPU of the balancer', '', ...labels, `${labels[0]} / ${labels[1]}`];
  const body = rows.map(({ name, unit, contenders, ratio }) => [
    name,
    unit,
    ...contenders.map(({ cpu }) => spread(cpu)),
    `${ratio.ofMedians.toFixed(2)} (${ratio.min.toFixed(2)}..${ratio.max.toFixed(2)})`,
  ]);
  return align([head, ...body]).join('\n');
}

export function rateTable(rows: readonly Row[], labels: readonly string[]): string {
  const head = ['Rate (the generator bounds it)', '', ...labels];
  const body = rows.map(({ name, rateUnit, contenders }) => [
    name,
    rateUnit,
    ...contenders.map(({ rate }) => spread(rate)),
  ]);
  return align([head, ...body]).join('\n');
}

export interface Goal {
  name: string;
  atMost: number;
  measured: number;
  met: boolean;
}

export function goals(rows: readonly Row[]): Goal[] {
  return rows.map(({ name, goal, ratio }) => ({
    name,
    atMost: goal,
    measured: ratio.ofMedians,
    met: ratio.ofMedians <= goal,
  }));
}

export function goalTable(list: readonly Goal[]): string {
  const head = ['Goal: CPU, of HAProxy with its defaults', 'at most', 'measured', ''];
  const body = list.map(({ name, atMost, measured, met }) => [
    name,
    atMost.toFixed(2),
    measured.toFixed(2),
    met ? 'met' : 'not met',
  ]);
  return align([head, ...body]).join('\n');
}

export function machineLines({ subject, node, haproxy, kernel, cpu, cores, load }: Machine): string {
  return [
    `${subject} on Node ${node}; HAProxy ${haproxy}, 1 thread`,
    `${kernel}; ${cpu}, ${cores} cores; load average before: ${load.toFixed(2)}`,
  ].join('\n');
}
