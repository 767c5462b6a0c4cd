/** The benchmark's command line. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const MEASURES = ['bulk', 'kept', 'new', 'idle', 'table', 'images'] as const;
export type MeasureName = (typeof MEASURES)[number];

export const USAGE = `usage: npm run bench -- [options]
  --only LIST       of ${MEASURES.join(',')}
  --rounds N        rounds, 5 unless told; the figures are their medians
  --quick           one short round, without images: less than two minutes, and figures that are coarse
  --growth          bulk, kept, new, idle and table at a quarter, a half, the whole and the double, with a plot
  --node PATH       run Berth under another Node
  --cli PATH        Berth's compiled command line, dist/cli.js unless told
  --control         HAProxy in Berth's place: the ratios should be about 1
  --profile FOLDER  a .cpuprofile of each Berth process goes there (this costs CPU: the figures do not count)
  --out FOLDER      where the results go, bench/results unless told`;

export interface Options {
  rounds: number;
  measures: MeasureName[];
  sizes: number[];
  quick: boolean;
  node: string;
  cli: string;
  control: boolean;
  profileFolder: string | undefined;
  out: string;
}

/** What the user must put right before the benchmark can run; the message is one line. */
export class UsageError extends Error {}

/** Reads the arguments of the command line. Throws a UsageError. */
export function readOptions(args: string[]): Options | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  const { quick, growth, node, control, profile } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new UsageError('--rounds takes 1 to 100');
  const standard = MEASURES.filter((name) => name !== 'images' || (!quick && !growth));
  const measures = (values.only?.split(',') ?? standard).map((name) => {
    const known = MEASURES.find((each) => each === name);
    if (known === undefined) throw new UsageError(`--only takes a list of ${MEASURES.join(', ')}, not '${name}'`);
    return known;
  });
  const sizes = growth ? [0.25, 0.5, 1, 2] : [1];
  const [cli, out] = [resolve(values.cli), resolve(values.out)];
  return { rounds, measures, sizes, quick, node, cli, control, profileFolder: profile, out };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        only: { type: 'string' },
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        growth: { type: 'boolean', default: false },
        node: { type: 'string', default: process.execPath },
        cli: { type: 'string', default: 'dist/cli.js' },
        control: { type: 'boolean', default: false },
        profile: { type: 'string' },
        out: { type: 'string', default: 'bench/results' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
