/** From the readings of all rounds to figures, ratios and a Markdown table: pure. */
import type { Reading } from './measures/measure.ts';
import type { MeasureName } from './options.ts';

/** A reading, and where it comes from. */
export interface Placed extends Reading {
  measure: MeasureName;
  size: number;
  round: number;
}

export interface Figure {
  median: number;
  min: number;
  max: number;
  /** How many rounds have one. */
  count: number;
}

/** What the contenders have in one case and unit, and Berth's ratios to two of them: of each round, then their median. */
export interface Row {
  measure: MeasureName;
  size: number;
  case: string;
  unit: string;
  contenders: Readonly<Record<string, Figure>>;
  ratios: Readonly<Record<string, Figure>>;
}

export interface Machine {
  subject: string;
  node: string;
  haproxy: string;
  nginx: string;
  kernel: string;
  cpu: string;
  cores: number;
  /** The load average of the minute before the run: other processes disturb the figures. */
  load: number;
  at: string;
}

export function figure(samples: readonly number[]): Figure {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), count: sorted.length };
}

/** `labels` are the contenders, the subject first; its ratios are those to `references`. */
export function rows(readings: readonly Placed[], labels: readonly string[], references: readonly string[]): Row[] {
  const groups = new Map<string, Placed[]>();
  for (const reading of readings) {
    const { measure, size, case: name, unit } = reading;
    const key = [measure, size, name, unit].join('\n');
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(reading);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const { measure, size, case: name, unit } = first;
    const ofRounds = (label: string): Map<number, number> =>
      new Map(group.filter(({ contender }) => contender === label).map(({ round, value }) => [round, value]));
    const present = labels.filter((label) => ofRounds(label).size > 0);
    const contenders = Object.fromEntries(present.map((label) => [label, figure([...ofRounds(label).values()])]));
    const own = ofRounds(labels[0] ?? '');
    const ratios = references.flatMap((label) => {
      const others = ofRounds(label);
      const each = [...own].flatMap(([round, value]) => {
        const other = others.get(round) ?? 0;
        return other > 0 ? [value / other] : [];
      });
      return each.length > 0 ? [[label, figure(each)] as const] : [];
    });
    return [{ measure, size, case: name, unit, contenders, ratios: Object.fromEntries(ratios) }];
  });
}

/** Three significant digits, without an exponent. */
function number(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

function spread({ median, min, max, count }: Figure): string {
  return count > 1 ? `${number(median)} (${number(min)}–${number(max)})` : number(median);
}

/** A table of one measure, with those contenders that have figures. */
export function table(list: readonly Row[], labels: readonly string[], references: readonly string[]): string {
  const shown = labels.filter((label) => list.some(({ contenders }) => label in contenders));
  const against = references.filter((label) => list.some(({ ratios }) => label in ratios));
  const head = ['', 'unit', ...shown, ...against.map((label) => `ratio to ${label}`)];
  const lines = list.map((row) => [
    row.case,
    row.unit,
    ...shown.map((label) => cell(row.contenders[label])),
    ...against.map((label) => cell(row.ratios[label])),
  ]);
  const aligned = head.map((_, at) => (at < 2 ? '---' : '--:'));
  return [head, aligned, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const cell = (found: Figure | undefined): string => (found ? spread(found) : '');

export function machineLines(machine: Machine): string {
  const { subject, node, haproxy, nginx, kernel, cpu, cores, load, at } = machine;
  return [
    `- ${subject} on Node ${node}; HAProxy ${haproxy} and nginx ${nginx}, one thread each`,
    `- ${kernel}; ${cpu}, ${cores} cores; load average before: ${load.toFixed(2)}`,
    `- ${at}`,
  ].join('\n');
}
