/**
 * A round of the benchmark: starts the processes, gives each balancer its jobs in turn, and reads what CPU they took.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launch, type Contender, type Running } from './contenders.ts';
import type { BackendReady, Job, JobReply, Tally } from './protocol.ts';
import type { Sample } from './report.ts';
import type { Workload } from './workloads.ts';

/** How many servers each balancer has behind it. */
const NODES = 4;
const JOB_DEADLINE_MS = 180_000;
/** How often each balancer gets the job in one measurement. */
const TURNS = 4;
/** A pause after each job, in which a balancer does what follows the end of a connection (log line, counters). */
const SETTLE_MS = 150;
/** How long clients that have nothing to do are idle before the measurement. */
const IDLE_MS = 3_000;

/** Starts a sibling of this file with this file's extension: compiled, or the source under a Node that strips types. */
function forkSibling(name: string, args: string[]): ChildProcess {
  const here = fileURLToPath(import.meta.url);
  return fork(new URL(name + extname(here), import.meta.url), args);
}

/** The next message of `child`; `what` names the process in the error where none comes. */
async function messageOf<T>(child: ChildProcess, what: string): Promise<T> {
  const settled = new AbortController();
  const signal = AbortSignal.any([settled.signal, AbortSignal.timeout(JOB_DEADLINE_MS)]);
  try {
    const died = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`${what}: its process ended with ${code}`);
    });
    // The message is not checked: a sibling file sends it, and only messages of type T.
    const message: T = (await Promise.race([once(child, 'message', { signal }), died]))[0];
    return message;
  } catch (error) {
    throw signal.aborted ? new Error(`${what}: no answer in ${JOB_DEADLINE_MS / 1000} s`, { cause: error }) : error;
  } finally {
    settled.abort();
  }
}

async function perform(client: ChildProcess, job: Job): Promise<Tally> {
  client.send(job);
  const reply = await messageOf<JobReply>(client, `the load generator (${job.kind})`);
  // The load generator counts what arrives, and fails a job of which a byte is missing or wrong.
  if (reply.kind === 'failed') throw new Error(`${job.kind}: ${reply.reason}`);
  return reply.tally;
}

/** CPU and clock seconds for one job, and what it delivered. */
interface Spent {
  cpu: number;
  clock: number;
  work: number;
}

async function spend(client: ChildProcess, workload: Workload, balancer: Running): Promise<Spent> {
  const cpuBefore = balancer.cpuSeconds();
  const startedMs = performance.now();
  const tally = await perform(client, workload.job(balancer.port));
  const clock = (performance.now() - startedMs) / 1000;
  await sleep(SETTLE_MS);
  return { cpu: balancer.cpuSeconds() - cpuBefore, clock, work: workload.work(tally) };
}

/**
 * A sample of each balancer, in the order of `running`. The balancers take turns, beginning with that at `first`, so
 * that what else the machine does disturbs all of them alike.
 */
async function measure(
  client: ChildProcess,
  workload: Workload,
  running: readonly Running[],
  first: number,
): Promise<Sample[]> {
  for (const balancer of running) {
    if (workload.beside) await perform(client, workload.beside(balancer.port));
    await perform(client, workload.warmUp(balancer.port));
  }
  await sleep(workload.beside ? IDLE_MS : SETTLE_MS);
  const spent: Spent[] = running.map(() => ({ cpu: 0, clock: 0, work: 0 }));
  for (let turn = 0; turn < TURNS * running.length; turn++) {
    const index = (first + turn) % running.length;
    const [balancer, sum] = [running[index], spent[index]];
    if (balancer === undefined || sum === undefined) continue;
    const { cpu, clock, work } = await spend(client, workload, balancer);
    sum.cpu += cpu;
    sum.clock += clock;
    sum.work += work;
  }
  if (workload.beside) await perform(client, { kind: 'leave' });
  return spent.map(({ cpu, clock, work }) => ({ cpu: (cpu / work) * workload.scale, rate: work / clock }));
}

/**
 * A sample of each contender for each of `chosen`, by workload. All processes are fresh, because some of a process's
 * luck (memory layout, compilation) lasts as long as the process. Each contender has backend ports of its own, because
 * the kernel's search for a source port takes the longer, the more connections to a port are in TIME_WAIT.
 */
export async function runRound(
  round: number,
  contenders: readonly Contender[],
  chosen: readonly Workload[],
  folder: string,
): Promise<Sample[][]> {
  const running: Running[] = [];
  const backend = forkSibling('backend', [String(NODES * contenders.length)]);
  const client = forkSibling('client', []);
  try {
    const { ports } = await messageOf<BackendReady>(backend, 'the backend');
    for (const [index, contender] of contenders.entries()) {
      running.push(await launch(contender, folder, ports.slice(index * NODES, (index + 1) * NODES)));
    }
    const samples: Sample[][] = [];
    for (const workload of chosen) {
      // Each round begins with another contender, so that no contender is always the first.
      const ofWorkload = await measure(client, workload, running, round % running.length);
      samples.push(ofWorkload);
      const figures = ofWorkload.map(({ cpu }, index) => `${running[index]?.label} ${cpu.toPrecision(3)}`);
      process.stderr.write(`round ${round + 1}: ${workload.name}, ${workload.unit}: ${figures.join(', ')}\n`);
    }
    return samples;
  } finally {
    client.kill();
    backend.kill();
    await Promise.all(running.map((balancer) => balancer.stop()));
  }
}
