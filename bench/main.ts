/**
 * What Berth costs beside HAProxy and nginx, on this machine, in one run: `npm run bench`; `--help` tells the options.
 *
 * Rounds are interleaved: in each all contenders are started afresh and take turns, so that what else the machine does
 * disturbs all of them alike, and a round's ratio says more than the medians. The CPU is that of the balancer's process
 * alone. The load generator and the nodes are processes of their own, whose slowness lengthens a run and is not in the
 * figures. But all processes share the cores and caches of the machine: use an idle machine, or more rounds.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, type as systemName } from 'node:os';
import { join } from 'node:path';
import { berth, DIRECT, find, haproxy, nginx, type Contender } from './contenders.ts';
import { bulk } from './measures/bulk.ts';
import { fresh } from './measures/fresh.ts';
import { idle } from './measures/idle.ts';
import { images } from './measures/images.ts';
import { kept } from './measures/kept.ts';
import type { Measure } from './measures/measure.ts';
import { table as stickTable } from './measures/table.ts';
import { readOptions, USAGE, UsageError, type MeasureName, type Options } from './options.ts';
import { plot } from './plot.ts';
import { machineLines, rows, table, type Machine, type Placed, type Row } from './report.ts';
import { Stage } from './stage.ts';

const ALL: Readonly<Record<MeasureName, Measure>> = { bulk, kept, new: fresh, idle, table: stickTable, images };
const REFERENCES = ['HAProxy', 'HAProxy tuned'];
/** It decides how large the pieces are that come: bbr sends in small ones, by a timer. */
const CONGESTION_CONTROL = '/proc/sys/net/ipv4/tcp_congestion_control';

interface Found {
  contenders: Contender[];
  machine: Machine;
}

/** Throws a UsageError where a program is missing. */
function lookAround(options: Options): Found {
  const found = { haproxy: find('haproxy'), nginx: find('nginx') };
  if (!found.haproxy || !found.nginx) {
    throw new UsageError('HAProxy or nginx is missing: apt-get install haproxy nginx-light libnginx-mod-stream');
  }
  if (!options.control && !existsSync(options.cli)) throw new UsageError(`there is no ${options.cli}: npm run build`);
  const subject = options.control ? haproxy('HAProxy again', found.haproxy.binary, false) : berth(options);
  const version = (program: string, ...args: string[]): string =>
    spawnSync(program, args, { encoding: 'utf8' }).stdout.trim();
  const [cpu] = cpus();
  return {
    contenders: [
      subject,
      haproxy('HAProxy', found.haproxy.binary, false),
      haproxy('HAProxy tuned', found.haproxy.binary, true),
      nginx(found.nginx.binary),
      DIRECT,
    ],
    machine: {
      subject: options.control ? 'HAProxy (control)' : version(options.node, options.cli, '--version'),
      node: version(options.node, '--version'),
      haproxy: found.haproxy.version,
      nginx: found.nginx.version,
      kernel: `${systemName()} ${release()}, TCP ${readFileSync(CONGESTION_CONTROL, 'latin1').trim()}`,
      cpu: cpu?.model ?? 'unknown CPU',
      cores: cpus().length,
      load: loadavg()[0] ?? 0,
      at: new Date().toISOString().slice(0, 16),
    },
  };
}

/** All measures in all rounds; what is known so far is told after each. */
async function measure(
  { rounds, measures, sizes, quick }: Options,
  contenders: readonly Contender[],
): Promise<Placed[]> {
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'));
  const readings: Placed[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const name of measures) {
      for (const size of sizes) {
        const stage = await Stage.open(round, contenders, folder);
        try {
          const startedMs = performance.now();
          const found = await ALL[name].read(stage, { quick, size });
          for (const reading of found) readings.push({ measure: name, size, round, ...reading });
          const seconds = ((performance.now() - startedMs) / 1_000).toFixed();
          process.stderr.write(`round ${round + 1} of ${rounds}: ${name}, size ${size}: ${seconds} s\n`);
        } finally {
          await stage.close();
        }
      }
    }
  }
  // Not in a `finally`: after a failure, whoever wants to know why needs the configuration files.
  rmSync(folder, { recursive: true, force: true });
  return readings;
}

function write(options: Options, machine: Machine, labels: readonly string[], readings: readonly Placed[]): string {
  const all = rows(readings, labels, REFERENCES);
  const [whole, grown] = [all.filter(({ size }) => size === 1), options.sizes.length > 1];
  const parts = options.measures.map((name) => {
    const own = whole.filter(({ measure: of }) => of === name);
    return `## ${ALL[name].title}\n\n${table(own, labels, REFERENCES)}`;
  });
  const rounds = options.rounds > 1 ? `medians (least–greatest) of ${options.rounds} rounds` : 'one round';
  const head = `# Berth beside others\n\n${machineLines(machine)}\n- ${rounds}; GB is 10^9 bytes`;
  const text = `${head}\n\n${parts.join('\n\n')}\n`;
  mkdirSync(options.out, { recursive: true });
  const at = join(options.out, machine.at.replaceAll(':', ''));
  writeFileSync(`${at}.json`, `${JSON.stringify({ machine, rounds: options.rounds, rows: all, readings }, null, 1)}\n`);
  writeFileSync(`${at}.md`, text);
  if (grown) writeFileSync(`${at}.html`, growth(all));
  process.stderr.write(`${at}.md and .json${grown ? ' and .html' : ''} are written\n`);
  return text;
}

/** Names of cases carry their counts, so what is comparable at several sizes stands at the same place in its measure. */
function growth(all: readonly Row[]): string {
  const placed = new Map<string, Row[]>();
  const counts = new Map<string, number>();
  for (const row of all) {
    const series = `${row.measure}/${row.size}`;
    const place = counts.get(series) ?? 0;
    counts.set(series, place + 1);
    const key = `${row.measure}/${place}`;
    placed.set(key, [...(placed.get(key) ?? []), row]);
  }
  const plots = [...placed.values()].map((list) => {
    const row = list.find(({ size }) => size === 1) ?? list[0];
    return row
      ? plot(
          row.case,
          row.unit,
          list.toSorted((a, b) => a.size - b.size),
        )
      : '';
  });
  return `<!doctype html><meta charset="utf-8"><title>Growth</title>\n${plots.join('\n')}\n`;
}

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2));
    if (options === 'help') {
      console.log(USAGE);
      return 0;
    }
    const { contenders, machine } = lookAround(options);
    const labels = contenders.map(({ label }) => label);
    console.log(write(options, machine, labels, await measure(options, contenders)));
    return 0;
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
