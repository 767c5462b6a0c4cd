import type { Http } from '../admin/http.ts';
import { Listeners } from '../listeners/listeners.ts';
import type { Parking } from '../listeners/site.ts';
import { Backend } from '../pool/backend.ts';
import { RelayBuffers } from '../proxy/relay/buffers.ts';
import { openFiles } from '../proxy/descriptors.ts';
import { Frontend, type Occupancy } from '../proxy/frontend.ts';
import type { Sockets } from '../proxy/relay/sockets.ts';
import type { Reports } from '../reports.ts';
import type { Rounds } from '../rounds.ts';
import type { StateKeeper } from '../state.ts';
import type { Generation } from './generation.ts';

/** Listening sockets that open beside those of traffic: the metrics and the admin address. */
const OWN_LISTENERS = 2;

/** Nobody waits longer for a shared table at the end. */
const FINISH_MS = 250;

export type HouseParts = {
  readonly sockets: Sockets;
  readonly observer: Reports;
  readonly state: StateKeeper;
  readonly rounds: Rounds;
  readonly metrics: Http;
  readonly admin: Http;
};

/**
 * What outlives generations: sockets, memory, and every frontend and backend by its name. A part that leaves the
 * configuration is remembered for a while: if its name comes back meanwhile, the same part comes back.
 */
export class House {
  readonly state: StateKeeper;
  readonly rounds: Rounds;
  readonly metrics: Http;
  readonly admin: Http;
  readonly listeners: Listeners;
  readonly occupancy: Occupancy = { connections: 0, latest: 0 };
  readonly buffers = new RelayBuffers();
  /** Descriptors that were open before the first plan, and those of the own listeners. */
  readonly otherFiles = openFiles() + OWN_LISTENERS;
  readonly #sockets: Sockets;
  readonly #observer: Reports;
  readonly #frontends = new Map<string, Frontend>();
  readonly #backends = new Map<string, Backend>();

  constructor({ sockets, observer, state, rounds, metrics, admin }: HouseParts) {
    this.#sockets = sockets;
    this.#observer = observer;
    this.listeners = new Listeners(observer);
    this.state = state;
    this.rounds = rounds;
    this.metrics = metrics;
    this.admin = admin;
  }

  /** The frontend of this name, whether it is in force, has left, or is new. */
  frontend(name: string): Frontend {
    const parts = {
      occupancy: this.occupancy,
      sockets: this.#sockets,
      buffers: this.buffers,
      observer: this.#observer,
    };
    return this.#frontends.get(name) ?? new Frontend(name, parts);
  }

  /** The backend of this name, whether it is in force, has left, or is new. */
  backend(name: string): Backend {
    return this.#backends.get(name) ?? new Backend(name, this.#observer);
  }

  /** Frontends in force, and those that have left with connections that still stand. */
  get frontends(): readonly Frontend[] {
    return [...this.#frontends.values()];
  }

  /**
   * Places for parked connections. Parked connections have descriptors as others do, so they count in the occupancy.
   */
  parking(capacity: number): Parking {
    const { occupancy } = this;
    return {
      enter: () => {
        if (occupancy.connections >= capacity) return false;
        occupancy.connections++;
        return true;
      },
      leave: () => void occupancy.connections--,
    };
  }

  /** `next` comes into force: its parts are known, and backends that it leaves out ask and check nothing any more. */
  enter(next: Generation, before: Generation | undefined): void {
    for (const [name, backend] of before?.backends ?? []) if (!next.backends.has(name)) backend.close();
    for (const [name, backend] of next.backends) this.#backends.set(name, backend);
    for (const [name, frontend] of next.frontends) this.#frontends.set(name, frontend);
    this.forget(next);
  }

  /** Drops what has left `current` and is not worth remembering any more. */
  forget(current: Generation): void {
    for (const [name, frontend] of this.#frontends) {
      if (current.frontends.has(name) || frontend.connections > 0) continue;
      // A client that comes by the listener's backlog must be swept, counted and waited for.
      if (!this.listeners.serves({ kind: 'frontend', name })) this.#frontends.delete(name);
    }
    for (const [name, backend] of this.#backends) {
      if (!current.backends.has(name) && backend.isForgotten) this.#backends.delete(name);
    }
  }

  /** What backends have left to write to tables that they share is written, or given up after a moment. */
  async finish(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, FINISH_MS)));
    const written = Promise.all([...this.#backends.values()].map((backend) => backend.finish()));
    await Promise.race([written, late]);
    clearTimeout(timer);
  }

  /** Ends every listener, question, check and timer. The admin's answers end last, by `admin.close()`. */
  close(): void {
    this.state.close();
    this.rounds.close();
    for (const backend of this.#backends.values()) backend.close();
    this.listeners.close();
    this.metrics.close();
  }
}
