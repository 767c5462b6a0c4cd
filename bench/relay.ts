/**
 * What Berth costs beside HAProxy, on this machine, in one run:
 *
 *     npm run build && npx tsc && node .build/bench/relay.js
 *
 * Only the CPU time of the balancer process is measured. The load generator and the backend are processes of their
 * own, whose slowness lengthens a run and is not in the figures. But all processes share the cores and caches of the
 * machine: use an idle machine, or more rounds.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, type as systemName } from 'node:os';
import { join } from 'node:path';
import { berth, findHaproxy, haproxy } from './contenders.ts';
import { readOptions, USAGE, UsageError, type Options } from './options.ts';
import { cpuTable, goals, goalTable, machineLines, rateTable, row, type Machine, type Sample } from './report.ts';
import { runRound } from './round.ts';
import { workloads } from './workloads.ts';

function firstLine(program: string, args: string[]): string {
  const { error, status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined || status !== 0) throw new UsageError(`cannot run ${program} ${args.join(' ')}`);
  return stdout.split('\n')[0] ?? '';
}

function describeMachine(options: Options, haproxyBinary: string): Machine {
  const [cpu] = cpus();
  return {
    subject: options.control
      ? 'HAProxy (control)'
      : firstLine(options.node, [options.cli, '--version']).replace(/^berth/, 'Berth'),
    node: firstLine(options.node, ['--version']),
    haproxy: /\d\S*/.exec(firstLine(haproxyBinary, ['-v']))?.[0] ?? 'of unknown version',
    kernel: `${systemName()} ${release()}`,
    cpu: cpu?.model ?? 'unknown CPU',
    cores: cpus().length,
    load: loadavg()[0] ?? 0,
  };
}

async function run(options: Options, haproxyBinary: string): Promise<void> {
  const machine = describeMachine(options, haproxyBinary);
  const subject = options.control ? haproxy('HAProxy again', haproxyBinary, false) : berth(options);
  const contenders = [
    subject,
    haproxy('HAProxy', haproxyBinary, false),
    haproxy('HAProxy tuned for bulk', haproxyBinary, true),
  ];
  const labels = contenders.map(({ label }) => label);
  const chosen = workloads(options.groups);
  const samples: Sample[][][] = chosen.map(() => contenders.map(() => []));

  const folder = mkdtempSync(join(tmpdir(), 'relay-bench-'));
  for (let round = 0; round < options.rounds; round++) {
    const inRound = await runRound(round, contenders, chosen, folder);
    inRound.forEach((ofWorkload, at) => ofWorkload.forEach((sample, index) => samples[at]?.[index]?.push(sample)));
  }
  // Not in a `finally`: after a failure, whoever wants to know why needs the configuration files.
  rmSync(folder, { recursive: true, force: true });
  const rows = chosen.map((workload, index) => row(workload, labels, samples[index] ?? []));
  const reached = options.control ? [] : goals(rows);
  if (options.json) {
    console.log(JSON.stringify({ machine, rounds: options.rounds, rows, goals: reached }, null, 2));
    return;
  }
  console.log(`${machineLines(machine)}\nmedian (least..greatest) of ${options.rounds} rounds; GB is 10^9 bytes\n`);
  console.log(`${cpuTable(rows, labels)}\n\n${rateTable(rows, labels)}`);
  if (reached.length > 0) console.log(`\n${goalTable(reached)}`);
}

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2));
    if (options === 'help') {
      console.log(USAGE);
      return 0;
    }
    const haproxyBinary = findHaproxy();
    if (haproxyBinary === undefined)
      throw new UsageError('there is no HAProxy to compare with: apt-get install haproxy');
    if (!options.control && !existsSync(options.cli)) throw new UsageError(`there is no ${options.cli}: npm run build`);
    await run(options, haproxyBinary);
    return 0;
  } catch (error) {
    process.stderr.write(`relay bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
