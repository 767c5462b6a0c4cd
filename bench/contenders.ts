/** The balancers that are compared: their configuration files, their processes, and the CPU time of these processes. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, freePorts } from './ports.ts';

const START_DEADLINE_MS = 15_000;
const STOP_DEADLINE_MS = 10_000;

/** /proc counts in USER_HZ (proc(5)), which is 100 on every architecture that Node has binaries for. */
const TICKS_PER_SECOND = 100;

export interface Contender {
  label: string;
  /** Writes the configuration into `folder`; returns the command that runs the balancer in the foreground. */
  prepare(folder: string, listen: Ports, backendPorts: readonly number[]): string[];
}

/** The ports on which a contender listens; a contender without metrics leaves `metrics` unused. */
export interface Ports {
  traffic: number;
  metrics: number;
}

/** The process of a contender; `port` is where it takes traffic. */
export interface Running {
  label: string;
  port: number;
  /** User and system time of all threads of the process since its start, in seconds, in steps of 10 ms. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

export interface BerthOptions {
  node: string;
  cli: string;
  profileFolder: string | undefined;
}

/** Berth as it comes: every setting that the file leaves out has its default, so each connection has its log line. */
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
        // HAProxy, without the word `check`, checks its servers no more than this.
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
 * HAProxy with one thread, because Berth has one thread, and with Berth's default timeouts. With `tuned` it has what
 * the HAProxy manual offers for bulk (sections 3.2 and 4.2): larger buffers, and splice() with large pipes.
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

/** The command of the HAProxy to run; undefined where none is installed. /usr/sbin is not on every user's PATH. */
export function findHaproxy(): string | undefined {
  return ['haproxy', '/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(
    (binary) => spawnSync(binary, ['-v']).status === 0,
  );
}

/**
 * Starts `contender`, and resolves when it accepts connections. All contenders log to /dev/null, so that writing the
 * log costs each of them the same. Rejects, with what the process wrote to standard error, where it does not start.
 */
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
  // A benchmark that dies must leave no balancer behind.
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
  // The second field is the command, in brackets, and may hold spaces: so count the fields from the last bracket on.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [Number(fields[11]), Number(fields[12])];
  return (user + system) / TICKS_PER_SECOND;
}
