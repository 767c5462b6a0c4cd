/** A round's processes: the nodes, the load generator, and the contenders, all of them fresh. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Contender } from './contenders.ts';
import { launch, type Reads, type Running } from './processes.ts';
import type { BackendReady, Job, JobReply, Tally } from './protocol.ts';

/** How many servers each balancer has behind it. */
const NODES = 4;
const JOB_DEADLINE_MS = 180_000;
/** A pause after each job, in which a balancer does what follows the end of a connection (log line, counters). */
export const SETTLE_MS = 150;

/** Starts a sibling of this file with this file's extension: compiled, or the source under a Node that strips types. */
export function forkSibling(name: string, args: string[], execArgv: string[] = process.execArgv): ChildProcess {
  const here = fileURLToPath(import.meta.url);
  return fork(new URL(name + extname(here), import.meta.url), args, { execArgv });
}

/** The next message of `child`; `what` names the process in the error where none comes. */
export async function messageOf<T>(child: ChildProcess, what: string): Promise<T> {
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

/** What one job took: seconds of the contender's CPU and of the clock, and what it delivered. */
export interface Spent {
  cpu: number;
  clock: number;
  tally: Tally;
  reads: Reads;
}

/** What a measure works with in one round. */
export class Stage {
  readonly contenders: readonly Contender[];
  readonly running: readonly Running[];
  /** Whose turn is first; each round begins with another contender. */
  readonly #first: number;
  readonly #client: ChildProcess;
  /** Does jobs beside the measured one. */
  readonly #other: ChildProcess;
  readonly #backend: ChildProcess;

  private constructor(
    round: number,
    contenders: readonly Contender[],
    running: readonly Running[],
    [client, other, backend]: readonly [ChildProcess, ChildProcess, ChildProcess],
  ) {
    this.contenders = contenders;
    this.running = running;
    this.#first = round % running.length;
    [this.#client, this.#other, this.#backend] = [client, other, backend];
  }

  /**
   * All processes are fresh, because some of a process's luck (memory layout, compilation) lasts as long as the process.
   * Each contender has backend ports of its own, because the kernel's search for a source port takes the longer, the
   * more connections to a port are in TIME_WAIT.
   */
  static async open(round: number, contenders: readonly Contender[], folder: string): Promise<Stage> {
    const backend = forkSibling('backend', [String(NODES * contenders.length)]);
    const others = [forkSibling('client', []), forkSibling('client', []), backend] as const;
    const running: Running[] = [];
    try {
      const { ports } = await messageOf<BackendReady>(backend, 'the backend');
      for (const [index, contender] of contenders.entries()) {
        running.push(await launch(contender, folder, ports.slice(index * NODES, (index + 1) * NODES)));
      }
      return new Stage(round, contenders, running, others);
    } catch (error) {
      for (const child of others) child.kill();
      await Promise.all(running.map((balancer) => balancer.stop()));
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const child of [this.#client, this.#other, this.#backend]) child.kill();
    await Promise.all(this.running.map((balancer) => balancer.stop()));
  }

  /** The same stage with one contender. */
  only(balancer: Running): Stage {
    return new Stage(0, this.contenders, [balancer], [this.#client, this.#other, this.#backend]);
  }

  perform(job: Job): Promise<Tally> {
    return perform(this.#client, job);
  }

  beside(job: Job): Promise<Tally> {
    return perform(this.#other, job);
  }

  /** Does the job, and pauses; the pause is in the CPU, not in the clock. */
  async spend(balancer: Running, job: Job): Promise<Spent> {
    const [cpuBefore, readsBefore] = [balancer.cpuSeconds(), balancer.reads()];
    const startedMs = performance.now();
    const tally = await this.perform(job);
    const clock = (performance.now() - startedMs) / 1000;
    await sleep(SETTLE_MS);
    const { calls, bytes } = balancer.reads();
    const reads = { calls: calls - readsBefore.calls, bytes: bytes - readsBefore.bytes };
    return { cpu: balancer.cpuSeconds() - cpuBefore, clock, tally, reads };
  }

  /** Each contender's turns one after another, so that what else the machine does disturbs all of them alike. */
  async inTurns(turns: number, take: (balancer: Running) => Promise<Spent>): Promise<Map<Running, Spent>> {
    const sums = new Map<Running, Spent>();
    for (let turn = 0; turn < turns * this.running.length; turn++) {
      const balancer = this.running[(this.#first + turn) % this.running.length];
      if (balancer === undefined) continue;
      const now = await take(balancer);
      const sum = sums.get(balancer);
      sums.set(balancer, sum === undefined ? now : add(sum, now));
    }
    return sums;
  }
}

/** A load generator of its own, which ends with the test. */
export function loadGenerator(t: TestContext): (job: Job) => Promise<Tally> {
  const child = forkSibling('client', []);
  t.after(() => child.kill());
  return (job) => perform(child, job);
}

/** The ports of so many nodes, in one process that ends with the test. */
export async function benchNodes(t: TestContext, count: number): Promise<readonly number[]> {
  const backend = forkSibling('backend', [String(count)]);
  t.after(() => backend.kill());
  const { ports } = await messageOf<BackendReady>(backend, 'the backend');
  return ports;
}

async function perform(client: ChildProcess, job: Job): Promise<Tally> {
  client.send(job);
  const reply = await messageOf<JobReply>(client, `the load generator (${job.kind})`);
  // The load generator counts what arrives, and fails a job of which a byte is missing or wrong.
  if (reply.kind === 'failed') throw new Error(`${job.kind}: ${reply.reason}`);
  return reply.tally;
}

function add(a: Spent, b: Spent): Spent {
  return {
    cpu: a.cpu + b.cpu,
    clock: a.clock + b.clock,
    tally: {
      bytes: a.tally.bytes + b.tally.bytes,
      requests: a.tally.requests + b.tally.requests,
      connections: a.tally.connections + b.tally.connections,
      tookMs: [...a.tally.tookMs, ...b.tally.tookMs],
    },
    reads: { calls: a.reads.calls + b.reads.calls, bytes: a.reads.bytes + b.reads.bytes },
  };
}
