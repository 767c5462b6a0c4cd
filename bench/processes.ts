/** The processes that are compared: starting them, and what the system says of their CPU, memory and wake-ups. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender } from './contenders.ts';
import { accepts, freePorts } from './ports.ts';

const START_DEADLINE_MS = 15_000;
const STOP_DEADLINE_MS = 10_000;

export interface Reads {
  calls: number;
  bytes: number;
}

/** A contender at work; `port` is where it takes traffic. Of `direct` there is no process, and all its figures are NaN. */
export interface Running {
  label: string;
  port: number;
  /** User and system time of all threads that the process has, since its start, in seconds. */
  cpuSeconds(): number;
  /** How often its threads have gone to sleep, and so have been woken, since its start. */
  wakeUps(): number;
  /** Memory that is resident now. */
  residentBytes(): number;
  /** What it has read with read(2) since its start. Programs that use recv(2) or splice(2), as HAProxy does, read 0. */
  reads(): Reads;
  stop(): Promise<void>;
}

/**
 * Starts `contender`, and resolves when it accepts connections. All contenders log to /dev/null, so that writing the
 * log costs each of them the same. Rejects, with what the process wrote to standard error, where it does not start.
 */
export async function launch(contender: Contender, folder: string, backendPorts: readonly number[]): Promise<Running> {
  const [traffic = 0, metrics = 0, admin = 0] = await freePorts(3);
  const command = contender.prepare(folder, { traffic, metrics, admin }, backendPorts);
  if (command === undefined) return direct(contender.label, backendPorts[0] ?? 0);
  const complaints = join(folder, 'stderr.txt');
  const stderr = openSync(complaints, 'w');
  // Each may open as many files as the system lets it: thousands of clients are idle in some measures.
  const unlimited = ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', ...command];
  const child = spawn('sh', unlimited, { stdio: ['ignore', 'ignore', stderr] });
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
  return {
    label: contender.label,
    port: traffic,
    cpuSeconds: () => cpuSeconds(pid),
    wakeUps: () => wakeUps(pid),
    residentBytes: () => residentBytes(pid),
    reads: () => reads(pid),
    stop: () => stop(child),
  };
}

function direct(label: string, port: number): Running {
  const unknown = (): number => Number.NaN;
  return {
    label,
    port,
    cpuSeconds: unknown,
    wakeUps: unknown,
    residentBytes: unknown,
    reads: () => ({ calls: Number.NaN, bytes: Number.NaN }),
    stop: () => Promise.resolve(),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  await exited;
  clearTimeout(timer);
}

/** /proc/PID/stat would step by 10 ms; schedstat counts nanoseconds. */
export function cpuSeconds(pid: number): number {
  const threads = `/proc/${pid}/task`;
  const ran = (thread: string): number => {
    const [nanoseconds] = readFileSync(`${threads}/${thread}/schedstat`, 'latin1').split(' ');
    return Number(nanoseconds) / 1e9;
  };
  return readdirSync(threads).reduce((sum, thread) => sum + ran(thread), 0);
}

function wakeUps(pid: number): number {
  const ofThread = (thread: string): number => field(`/proc/${pid}/task/${thread}/status`, 'voluntary_ctxt_switches');
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + ofThread(thread), 0);
}

export function residentBytes(pid: number): number {
  return field(`/proc/${pid}/status`, 'VmRSS') * 1024;
}

function reads(pid: number): Reads {
  const file = `/proc/${pid}/io`;
  return { calls: field(file, 'syscr'), bytes: field(file, 'rchar') };
}

/** A number of a file of `NAME: NUMBER` lines. */
function field(file: string, name: string): number {
  const line = readFileSync(file, 'latin1')
    .split('\n')
    .find((each) => each.startsWith(`${name}:`));
  return Number(/\d+/.exec(line ?? '')?.[0] ?? Number.NaN);
}
