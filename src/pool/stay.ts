import { prospects, type Choice, type Pool } from './choose.ts';
import type { Outcome, Queue } from './queue.ts';
import type { Server } from './server.ts';
import type { SharedTable } from './shared/shared-table.ts';
import type { StickTable } from './stick-table.ts';

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
  /**
   * After a choice of `server`, where the table is shared: undefined if the client may go there. Else it resolves
   * within a tenth of a second, and then this is to be asked again, if the client is still bound to the server.
   */
  readonly agree: ((server: Server) => Promise<void> | undefined) | undefined;
  /** How long a connection waits for agreements in all. */
  readonly agreeMs: number;
  /** Whether the client is bound to the server. */
  isBoundTo(server: Server): boolean;
  /** The connection is over. */
  close(): void;
};

export type StayParts = {
  readonly client: string | undefined;
  readonly table: StickTable<Server> | undefined;
  readonly shared: SharedTable | undefined;
  readonly queue: Queue;
  readonly pool: () => Pool;
};

/** A connection of the client begins. */
export function newStay({ client, table, shared, queue, pool }: StayParts): Stay {
  let ticket: number | undefined;
  if (client !== undefined) table?.open(client);
  const common = client === undefined || !table ? undefined : shared;
  if (client !== undefined) common?.opened(client, table?.match(client) !== undefined);
  return {
    client,
    choose: (tried) => queue.choose({ client, tried, pool }),
    wait: (tried, server) => queue.wait({ client, tried, pool }, (ticket ??= queue.ticket()), server),
    hasOnlyTried: (tried) => {
      const [first] = prospects(pool(), client, tried).servers;
      return first !== undefined && tried.has(first);
    },
    agree: common && ((server) => (client === undefined ? undefined : common.agree(client, server.name))),
    agreeMs: common?.mostMs ?? 0,
    isBoundTo: (server) => client !== undefined && table?.match(client) === server,
    close: () => {
      if (client === undefined) return;
      table?.close(client);
      common?.closed(client);
    },
  };
}

export type Wait = { readonly outcome: Promise<Outcome | undefined>; leave(): void };

/** The binding of a client, and where its next connection goes (`next`): undefined if the binding leads nowhere. */
export type StandingBinding = {
  readonly bound: Server;
  readonly connections: number;
  readonly expiresMs: number | undefined;
  readonly next: Server | undefined;
  /** The balancer that bound the client; undefined where the table is not shared, or nothing is agreed. */
  readonly by: string | undefined;
};
