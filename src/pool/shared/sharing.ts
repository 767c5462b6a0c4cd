import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig } from '../../config/schema.ts';
import type { SharedConfig } from '../../config/shared-table.ts';
import type { Step } from '../../step.ts';
import { REAL_CLOCK, type LinkState } from './link.ts';
import type { PoolObserver, Wake } from '../observer.ts';
import type { Server } from '../server.ts';
import type { OwnTable } from './parts.ts';
import { redisSessions } from './redis.ts';
import type { OpenSession } from './session.ts';
import { SharedTable } from './shared-table.ts';

/** A plan waits so long for the shared table, so that the first clients are agreed on. */
const SOON_MS = 500;

/** How sessions with the shared table of a backend are opened; `instance` signs what is told. */
export type Sessions = (config: SharedConfig, backend: string, instance: string) => OpenSession;

/** A part that waits no longer than it is worth. */
export type SharingStep = Step & { readonly ready: Promise<void> };

export type SharingParts = {
  readonly backend: string;
  readonly own: OwnTable;
  readonly observer: PoolObserver;
  readonly sessions: Sessions | undefined;
  /** In force. */
  readonly servers: () => readonly Server[];
};

/** What a backend shares, and where. */
type Wanted = { readonly table: SharedConfig; readonly states: boolean };

/** Whether, and where, a backend shares its stick table. */
export class Sharing {
  /** In force; undefined where the stick table is the balancer's own alone. */
  table: SharedTable | undefined;
  readonly #parts: SharingParts;
  #wanted: Wanted | undefined;

  constructor(parts: SharingParts) {
    this.#parts = parts;
  }

  /** Begins to reach the table of `config`, beside the one in force. That it cannot be reached is no reason to fail. */
  plan({ stickTable }: BackendConfig): SharingStep {
    const wanted = wantedIn(stickTable);
    if (isDeepStrictEqual(wanted, this.#wanted) && (!wanted || this.table)) {
      return { ready: Promise.resolve(), commit() {}, rollback() {} };
    }
    const fresh = wanted && this.#newTable(wanted);
    return {
      ready: fresh?.ready ?? Promise.resolve(),
      commit: () => {
        this.table?.close();
        this.#wanted = wanted;
        this.table = fresh?.table;
        fresh?.enter();
      },
      rollback: () => fresh?.table.close(),
    };
  }

  /** Nothing is asked any more, until the next commit. */
  close(): void {
    this.table?.close();
    this.table = undefined;
  }

  /** Wakes as `wake` does, after the servers have heard what other balancers say of them, and the others of these. */
  wakes(wake: Wake): Wake {
    return {
      freed: (server) => wake.freed(server),
      changed: () => {
        this.table?.states?.settle();
        wake.changed();
      },
    };
  }

  #newTable({ table: config, states }: Wanted): { table: SharedTable; ready: Promise<void>; enter(): void } {
    const { backend, own, observer, servers, sessions = redisSessions } = this.#parts;
    const [clock, timeoutMs] = [REAL_CLOCK, config.timeout];
    const instance = randomBytes(9).toString('base64url');
    const name = config.name ?? `${hostname().slice(0, 60)}/${process.pid}`;
    let reached!: () => void;
    const ready = new Promise<void>((resolve) => (reached = resolve));
    const tooLate = clock.after(SOON_MS, reached);
    const changed = (state: LinkState, before: LinkState | undefined): void => {
      // Where states are shared, the first clients are sent to no server that another balancer drains.
      const reading = table.states?.reading;
      if (reading) void reading.then(reached);
      else reached();
      if (this.table === table) observer.sharedChanged(backend, state, before, table.pending);
    };
    const open = sessions(config, backend, instance);
    const answered = (ms: number): void => observer.sharedAnswered(backend, ms);
    const statesFailed = (reason: string): void => observer.sharedStatesFailed(backend, reason);
    const events = { changed, answered, statesFailed };
    const parts = { name, instance, open, own, servers: states ? servers : undefined, events, clock, timeoutMs };
    const table = new SharedTable(parts);
    table.look();
    const enter = (): void => {
      tooLate();
      reached();
      table.enter();
      if (table.state) observer.sharedChanged(backend, table.state, undefined, 0);
    };
    return { table, ready, enter };
  }
}

function wantedIn(stickTable: BackendConfig['stickTable']): Wanted | undefined {
  if (stickTable === false || stickTable.shared === false) return undefined;
  return { table: stickTable.shared, states: stickTable.sharedStates };
}
