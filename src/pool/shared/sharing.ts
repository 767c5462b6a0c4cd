import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig } from '../../config/schema.ts';
import type { SharedConfig } from '../../config/shared-table.ts';
import type { Step } from '../../step.ts';
import { REAL_CLOCK, type LinkState } from './link.ts';
import type { PoolObserver } from '../observer.ts';
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
};

/** Whether, and where, a backend shares its stick table. */
export class Sharing {
  /** In force; undefined where the stick table is the balancer's own alone. */
  table: SharedTable | undefined;
  readonly #parts: SharingParts;
  #config: SharedConfig | false = false;

  constructor(parts: SharingParts) {
    this.#parts = parts;
  }

  /** Begins to reach the table of `config`, beside the one in force. That it cannot be reached is no reason to fail. */
  plan({ stickTable }: BackendConfig): SharingStep {
    const shared = stickTable === false ? false : stickTable.shared;
    if (isDeepStrictEqual(shared, this.#config) && (shared === false || this.table)) {
      return { ready: Promise.resolve(), commit() {}, rollback() {} };
    }
    const fresh = shared === false ? undefined : this.#newTable(shared);
    return {
      ready: fresh?.ready ?? Promise.resolve(),
      commit: () => {
        this.table?.close();
        this.#config = shared;
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

  #newTable(config: SharedConfig): { table: SharedTable; ready: Promise<void>; enter(): void } {
    const { backend, own, observer, sessions = redisSessions } = this.#parts;
    const [clock, timeoutMs] = [REAL_CLOCK, config.timeout];
    const instance = randomBytes(9).toString('base64url');
    const name = config.name ?? `${hostname().slice(0, 60)}/${process.pid}`;
    let reached!: () => void;
    const ready = new Promise<void>((resolve) => (reached = resolve));
    const tooLate = clock.after(SOON_MS, reached);
    const changed = (state: LinkState, before: LinkState | undefined): void => {
      reached();
      if (this.table === table) observer.sharedChanged(backend, state, before, table.pending);
    };
    const open = sessions(config, backend, instance);
    const answered = (ms: number): void => observer.sharedAnswered(backend, ms);
    const table = new SharedTable({ name, instance, open, own, events: { changed, answered }, clock, timeoutMs });
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
