/**
 * The balancers that are compared: their configuration files, their processes, and the CPU time these have used.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, freePorts } from './ports.ts';

const START_DEADLINE_MS = 15_000;
const STOP_DEADLINE_MS = 10_000;

/** /proc counts in USER_HZ, which is 100 on every architecture Node has binaries for. */
const TICKS_PER_SECOND = 100;

export interface Contender {
  label: string;
  /** Writes the configuration into `folder`; the command that runs it in the foreground. */
  prepare(folder: string, listen: Ports, backendPorts: readonly number[]): string[];
}

/** `metrics` is for a contender that has such a listener. */
export interface Ports {
  traffic: number;
  metrics: number;
}

export interface Running {
  label: string;
  port: number;
  /** User and system time of all its threads since it started, in seconds, in steps of 10 ms. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

export interface BerthOptions {
  node: string;
  cli: string;
  profileFolder: string | undefined;
}

/** Berth as it comes: everything that is not written here is its default, the line a connection included. */
export function berth({ node, cli, profileFolder }: BerthOptions): Contender {
  return {
    label: 'Berth',
    prepare(folder, listen, backendPorts) {
      const file = join(folder, 'balancer.yml');
      const servers = backendPorts.map((port, index) => `      s${index + 1}: 127.0.0.1:${port}`);
      const lines = [
        'frontends:',
        `  bench: { bind: "127.0.0.1:${listen.traffic}", backend: nodes }`,
        'backends:',
        '  nodes:',
        // HAProxy checks nothing either unless told to.
        '    healthCheck: false',
        '    servers:',
        ...servers,
        `metrics: { bind: "127.0.0.1:${listen.metrics}" }`,
        'admin: { bind: "127.0.0.1:0" }',
      ];
      writeFileSync(file, lines.join('\n') + '\n');
      const profile = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
      return [node, ...profile, cli, 'start', '-c', file];
    },
  };
}

const TUNED_GLOBAL = ['  tune.bufsize 65536', '  tune.pipesize 1048576'];

/**
 * One thread, because Berth has one; the timeouts are Berth's defaults. `tuned` is what its manual offers for bulk:
 * larger buffers, and splice() with large pipes.
 */
export function haproxy(label: string, binary: string, tuned: boolean): Contender {
  return {
    label,
    prepare(folder, listen, backendPorts) {
      const file = join(folder, `${label.replaceAll(/\W+/g, '-')}.cfg`);
      const lines = [
        'global',
        '  nbthread 1',
        '  maxconn 4000',
        '  log stdout format raw local0',
        ...(tuned ? TUNED_GLOBAL : []),
        'defaults',
        '  mode tcp',
        '  log global',
        '  option tcplog',
        ...(tuned ? ['  option splice-auto'] : []),
        '  timeout connect 5s',
        '  timeout client 10m',
        '  timeout server 10m',
        'frontend bench',
        `  bind 127.0.0.1:${listen.traffic}`,
        '  default_backend nodes',
        'backend nodes',
        '  balance roundrobin',
        '  stick-table type ip size 200k expire 30m',
        '  stick on src',
        ...backendPorts.map((port, index) => `  server s${index + 1} 127.0.0.1:${port}`),
      ];
      writeFileSync(file, lines.join('\n') + '\n');
      return [binary, '-db', '-f', file];
    },
  };
}

/** The HAProxy to run, or undefined where there is none; /usr/sbin is not on every user's PATH. */
export function findHaproxy(): string | undefined {
  return ['haproxy', '/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(
    (binary) => spawnSync(binary, ['-v']).status === 0,
  );
}

/** Starts `contender` and returns once it accepts connections. Its log goes to /dev/null, as the log of both must. */
export async function launch(contender: Contender, folder: string, backendPorts: readonly number[]): Promise<Running> {
  const [traffic = 0, metrics = 0] = await freePorts(2);
  const command = contender.prepare(folder, { traffic, metrics }, backendPorts);
  const [program = '', ...args] = command;
  const complaints = join(folder, 'stderr.txt');
  const stderr = openSync(complaints, 'w');
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', stderr] });
  closeSync(stderr);
  let spawnError: Error | undefined;
  child.once('error', (error) => (spawnError = error));
  // Should the benchmark itself die, the balancers must not be left behind.
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));

  const deadline = Date.now() + START_DEADLINE_MS;
  while (!(await accepts(traffic))) {
    if (spawnError !== undefined || child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      const why = spawnError?.message ?? (child.exitCode === null ? 'no answer' : `exit code ${child.exitCode}`);
      const said = readFileSync(complaints, 'utf8').trim();
      throw new Error(`${contender.label} does not start (${why}): ${command.join(' ')}\n${said}`.trim());
    }
    await sleep(20);
  }
  const pid = child.pid ?? 0;
  return { label: contender.label, port: traffic, cpuSeconds: () => cpuSeconds(pid), stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  await exited;
  clearTimeout(timer);
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is the command in brackets and may hold spaces; the third is the first after the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [Number(fields[11]), Number(fields[12])];
  return (user + system) / TICKS_PER_SECOND;
}
