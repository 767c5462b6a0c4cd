import { DIRECTIONS, type Direction } from './clients/session.ts';
import type { Backend } from './pool/backend.ts';
import { CONNECT_FAILURES, type ConnectFailure } from './pool/failures.ts';
import type { Server } from './pool/server.ts';
import { REFUSALS, type Refusal } from './proxy/observer.ts';
import type { End } from './proxy/record.ts';

/** Ends that an alert is made of: a rate sees the first of them only where the count has been 0 before. */
const COUNTED_FROM_0: readonly End[] = ['--', 'SC', 'sC', 'RC', 'sQ'];

const CONNECT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const SHARED_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
const SESSION_SECONDS = [1, 5, 15, 60, 300, 1_800, 7_200];
/** How many connects the average is about. */
const LAST_CONNECTS = 20;
const CONNECTION_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200];

/** How many values lie between each two of `bounds`: what a Prometheus histogram is made of. */
export class Distribution {
  readonly bounds: readonly number[];
  /** By the lowest bound that is not below the value; the last count is of values above all bounds. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let i = 0;
    while (i < this.bounds.length && value > (this.bounds[i] ?? Infinity)) i++;
    this.counts[i] = (this.counts[i] ?? 0) + 1;
    this.sum += value;
  }
}

const each = <K extends string, V>(keys: readonly K[], value: () => V): Record<K, V> =>
  Object.fromEntries(keys.map((key) => [key, value()])) as Record<K, V>;
const zeros = <K extends string>(keys: readonly K[]): Record<K, number> => each(keys, () => 0);

export class ServerCounts {
  readonly checks = { passed: 0, failed: 0 };
  readonly connectErrors = zeros<ConnectFailure['reason']>(CONNECT_FAILURES);
  readonly connectSeconds = new Distribution(CONNECT_SECONDS);
  /** How long the last connects took, on average; undefined before the first. */
  connectMs: number | undefined;
  /** Sessions of clients that have ended, and their bytes. */
  readonly sessions = each(DIRECTIONS, () => ({ count: 0, in: 0, out: 0 }));

  connected(seconds: number): void {
    this.connectSeconds.observe(seconds);
    const ms = seconds * 1_000;
    this.connectMs = this.connectMs === undefined ? ms : this.connectMs + (ms - this.connectMs) / LAST_CONNECTS;
  }

  addSession(direction: Direction, bytesIn: number, bytesOut: number): void {
    const of = this.sessions[direction];
    of.count++;
    of.in += bytesIn;
    of.out += bytesOut;
  }
}

export class BackendCounts {
  retries = 0;
  redispatches = 0;
  readonly ended = new Map<End, number>(COUNTED_FROM_0.map((end) => [end, 0]));
  readonly seconds = new Distribution(CONNECTION_SECONDS);
  readonly sessionSeconds = each(DIRECTIONS, () => new Distribution(SESSION_SECONDS));
}

/**
 * Plain numbers that count what happens to servers, backends and frontends, and that a scrape reads. The numbers live
 * as long as the part that they count for. So a part that has left is in no scrape, whatever happens to it later, and a
 * part that comes back has its counts again.
 */
export class Counts {
  readonly #servers = new WeakMap<Server, ServerCounts>();
  readonly #backends = new WeakMap<Backend, BackendCounts>();
  readonly #shared = new Map<string, Distribution>();
  readonly #refused = new Map<string, Record<Refusal, number>>();

  ofServer(server: Server): ServerCounts {
    let counts = this.#servers.get(server);
    if (!counts) this.#servers.set(server, (counts = new ServerCounts()));
    return counts;
  }

  ofBackend(backend: Backend): BackendCounts {
    let counts = this.#backends.get(backend);
    if (!counts) this.#backends.set(backend, (counts = new BackendCounts()));
    return counts;
  }

  /** How long the table that a backend shares took to answer. */
  ofShared(backend: string): Distribution {
    let seconds = this.#shared.get(backend);
    if (!seconds) this.#shared.set(backend, (seconds = new Distribution(SHARED_SECONDS)));
    return seconds;
  }

  /** Connections that a frontend turned away, by reason. */
  refused(frontend: string): Record<Refusal, number> {
    let counts = this.#refused.get(frontend);
    if (!counts) this.#refused.set(frontend, (counts = zeros(REFUSALS)));
    return counts;
  }
}
