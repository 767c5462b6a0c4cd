import type { Majority } from './crowd.ts';
import type { Health } from './health.ts';
import type { NameObserver } from './named.ts';
import type { StorageSeen } from './probe/storage.ts';
import type { AdminState } from './said.ts';
import type { Server } from './server.ts';
import type { LinkState } from './shared/link.ts';

/** What the pool tells the rest of the house. */
export type PoolObserver = NameObserver & {
  /** The server went up or down; `before` is what was true until now. */
  serverChanged(server: Server, before: Health): void;
  /** The operator wants something else of it; `before` is what he wanted until now. */
  adminChanged(server: Server, before: AdminState): void;
  /** The operator wants another weight of it, or what is configured again. */
  weightChanged(server: Server, weight: number, before: number): void;
  serverChecked(server: Server, ok: boolean): void;
  /** Checks can no longer ask for the server's storage, or can again. */
  storageChanged(server: Server, seen: StorageSeen): void;
  /** It is in force, or no longer: by the configuration, or by what DNS says. */
  serverCame(server: Server): void;
  serverLeft(server: Server): void;
  /** One client has more than half of the connections of a busy backend. */
  clientCrowds(backend: string, crowd: Majority): void;
  /**
   * The table that a backend shares with other balancers can be reached, or cannot; `before` is undefined at first.
   * `pending` bindings are to be written.
   */
  sharedChanged(backend: string, state: LinkState, before: LinkState | undefined, pending: number): void;
  /** What operators say of servers cannot be shared, while the table can be. */
  sharedStatesFailed(backend: string, reason: string): void;
  /** The shared table has answered within so many milliseconds. */
  sharedAnswered(backend: string, ms: number): void;
};

/** Who is told that connections that wait may have another chance now. */
export type Wake = {
  /** A place of the server has come free. */
  freed(server: Server): void;
  /** The server may be usable or not, take newcomers or not, have more places or fewer, otherwise than before. */
  changed(): void;
};
