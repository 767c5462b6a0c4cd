import type { Choice } from './choose.ts';
import type { Outcome } from './queue.ts';
import type { Server } from './server.ts';

/**
 * A client's stay in a backend, for one connection. It keeps to the table and to what the client is in it as they were
 * at its beginning, so that a reload meanwhile does not mix two tables.
 */
export type Stay = {
  /** What the client is in the table; undefined where nothing identifies it. */
  readonly client: string | undefined;
  /** The server for the connection, whose place is taken then. @see choose */
  choose(tried: ReadonlySet<Server>): Choice;
  /** Waits after 'full', in the same tick. @see Queue */
  wait(tried: ReadonlySet<Server>, server: Server | undefined): Wait;
  /** Whether only servers that were `tried` are left. */
  hasOnlyTried(tried: ReadonlySet<Server>): boolean;
  /** The connection is over. */
  close(): void;
};

export type Wait = { readonly outcome: Promise<Outcome | undefined>; leave(): void };

/** The binding of a client, and where its next connection goes (`next`): undefined if the binding leads nowhere. */
export type StandingBinding = {
  readonly bound: Server;
  readonly connections: number;
  readonly expiresMs: number | undefined;
  readonly next: Server | undefined;
};
