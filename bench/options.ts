/** The benchmark's command line. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GROUPS, type Group } from './workloads.ts';

export const USAGE = `usage: node .build/bench/relay.js [options]
  --rounds N        rounds, 3 unless told; the figures are their medians
  --only LIST       of bytes,kept,new
  --node PATH       run Berth under another Node
  --cli PATH        Berth's compiled command line, dist/cli.js unless told
  --control         HAProxy in Berth's place: the ratios should be about 1
  --profile FOLDER  a .cpuprofile of each Berth process goes there (this costs CPU: the figures do not count)
  --json            print one JSON object instead of tables`;

export interface Options {
  rounds: number;
  groups: Group[];
  node: string;
  cli: string;
  control: boolean;
  profileFolder: string | undefined;
  json: boolean;
}

/** What the user must put right before the benchmark can run; the message is one line. */
export class UsageError extends Error {}

/** Reads the arguments of the command line. Throws a UsageError. */
export function readOptions(args: string[]): Options | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new UsageError('--rounds takes 1 to 100');
  const groups = values.only.split(',').map((name) => {
    const group = GROUPS.find((known) => known === name);
    if (group === undefined) throw new UsageError(`--only takes a list of ${GROUPS.join(', ')}, not '${name}'`);
    return group;
  });
  const { node, control, json, profile } = values;
  return { rounds, groups, node, cli: resolve(values.cli), control, profileFolder: profile, json };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        rounds: { type: 'string', default: '3' },
        only: { type: 'string', default: GROUPS.join(',') },
        node: { type: 'string', default: process.execPath },
        cli: { type: 'string', default: 'dist/cli.js' },
        control: { type: 'boolean', default: false },
        profile: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
