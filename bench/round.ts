/**
 * One round of the benchmark: starts the processes, gives each balancer its jobs in turn, and reads what CPU they took.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launch, type Contender, type Running } from './contenders.ts';
import type { BackendReady, Job, JobReply, Tally } from './protocol.ts';
import type { Sample } from './report.ts';
import type { Case } from './workloads.ts';

/** Servers behind each balancer. */
const NODES = 4;
const JOB_DEADLINE_MS = 180_000;
/** How often each balancer gets the job in one measurement. */
const TURNS = 4;
/** After a job: for what a balancer does once a connection has closed (its log line, its counters). */
const SETTLE_MS = 150;

/** A sibling of this file, as it is now: compiled, or run from source by a Node that strips types. */
function forkSibling(name: string, args: string[]): ChildProcess {
  const here = fileURLToPath(import.meta.url);
  return fork(new URL(name + extname(here), import.meta.url), args);
}

async function answerOf<T>(child: ChildProcess, what: string): Promise<T> {
  const settled = new AbortController();
  const signal = AbortSignal.any([settled.signal, AbortSignal.timeout(JOB_DEADLINE_MS)]);
  try {
    const died = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`${what}: its process ended with ${code}`);
    });
    // What it sends is a sibling file's and of one type, so it is not checked.
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
  const reply = await answerOf<JobReply>(client, `the load generator (${job.kind})`);
  // It has counted what arrived, and fails a job of which a byte is missing or wrong.
  if (reply.kind === 'failed') throw new Error(`${job.kind}: ${reply.reason}`);
  return reply.tally;
}

/** CPU and clock seconds for one job, and what it delivered. */
interface Spent {
  cpu: number;
  clock: number;
  work: number;
}

async function spend(client: ChildProcess, one: Case, balancer: Running): Promise<Spent> {
  const cpuBefore = balancer.cpuSeconds();
  const startedMs = performance.now();
  const tally = await perform(client, one.job(balancer.port));
  const clock = (performance.now() - startedMs) / 1000;
  await sleep(SETTLE_MS);
  return { cpu: balancer.cpuSeconds() - cpuBefore, clock, work: one.work(tally) };
}

/** One sample of each balancer, in their order. They take turns, so that what else the machine does meets all alike. */
async function measure(client: ChildProcess, one: Case, running: readonly Running[], first: number): Promise<Sample[]> {
  for (const balancer of running) await perform(client, one.warmUp(balancer.port));
  await sleep(SETTLE_MS);
  const spent: Spent[] = running.map(() => ({ cpu: 0, clock: 0, work: 0 }));
  for (let turn = 0; turn < TURNS * running.length; turn++) {
    const index = (first + turn) % running.length;
    const [balancer, sum] = [running[index], spent[index]];
    if (balancer === undefined || sum === undefined) continue;
    const { cpu, clock, work } = await spend(client, one, balancer);
    sum.cpu += cpu;
    sum.clock += clock;
    sum.work += work;
  }
  return spent.map(({ cpu, clock, work }) => ({ cpu: (cpu / work) * one.scale, rate: work / clock }));
}

/**
 * One sample of each contender for each of `chosen`, by case. All processes are fresh, as some of their luck (memory
 * layout, compilation) lasts as long as they do, and each contender has ports of its own behind it: the system looks
 * for a free source port among those in TIME_WAIT, the longer the more connections went to that port lately.
 */
export async function runRound(
  round: number,
  contenders: readonly Contender[],
  chosen: readonly Case[],
  folder: string,
): Promise<Sample[][]> {
  const running: Running[] = [];
  const backend = forkSibling('backend', [String(NODES * contenders.length)]);
  const client = forkSibling('client', []);
  try {
    const { ports } = await answerOf<BackendReady>(backend, 'the backend');
    for (const [index, contender] of contenders.entries()) {
      running.push(await launch(contender, folder, ports.slice(index * NODES, (index + 1) * NODES)));
    }
    const samples: Sample[][] = [];
    for (const one of chosen) {
      // Each round begins with another contender, so that none is always the first.
      const ofCase = await measure(client, one, running, round % running.length);
      samples.push(ofCase);
      const figures = ofCase.map(({ cpu }, index) => `${running[index]?.label} ${cpu.toPrecision(3)}`);
      process.stderr.write(`round ${round + 1}: ${one.name}, ${one.unit}: ${figures.join(', ')}\n`);
    }
    return samples;
  } finally {
    client.kill();
    backend.kill();
    await Promise.all(running.map((balancer) => balancer.stop()));
  }
}
