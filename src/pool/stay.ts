import { prospects, type Choice, type Pool } from './choose.ts';
import type { Outcome, Queue } from './queue.ts';
import type { Server } from './server.ts';
import type { SharedTable } from './shared/shared-table.ts';
import type { StickTable } from './stick-table.ts';

export type StayParts = {
  readonly client: string | undefined;
  readonly table: StickTable<Server> | undefined;
  readonly shared: SharedTable | undefined;
  readonly queue: Queue;
  readonly pool: () => Pool;
};

/** A connection of the client begins. */
export function newStay(parts: StayParts): Stay {
  const { client, table, shared } = parts;
  if (client === undefined) return new Stay(parts, undefined);
  table?.open(client);
  const common = table && shared;
  common?.opened(client, table?.match(client) !== undefined);
  return new Stay(parts, common);
}

/**
 * A client's stay in a backend, for one connection. It keeps to the table and to what the client is in it as they were
 * at its beginning, so that a reload meanwhile does not mix two tables.
 */
export class Stay {
  /** What the client is in the table; undefined where nothing identifies it. */
  readonly client: string | undefined;
  readonly #table: StickTable<Server> | undefined;
  readonly #shared: SharedTable | undefined;
  readonly #queue: Queue;
  readonly #pool: () => Pool;
  #ticket: number | undefined;

  constructor({ client, table, queue, pool }: StayParts, shared: SharedTable | undefined) {
    this.client = client;
    this.#table = table;
    this.#shared = shared;
    this.#queue = queue;
    this.#pool = pool;
  }

  /** The server for the connection, whose place is taken then. @see choose */
  choose(tried: ReadonlySet<Server>): Choice {
    return this.#queue.choose({ client: this.client, tried, pool: this.#pool });
  }

  /** Waits after 'full', in the same tick. @see Queue */
  wait(tried: ReadonlySet<Server>, server: Server | undefined): Wait {
    const seeker = { client: this.client, tried, pool: this.#pool };
    return this.#queue.wait(seeker, (this.#ticket ??= this.#queue.ticket()), server);
  }

  /** Whether only servers that were `tried` are left. */
  hasOnlyTried(tried: ReadonlySet<Server>): boolean {
    const [first] = prospects(this.#pool(), this.client, tried).servers;
    return first !== undefined && tried.has(first);
  }

  /**
   * After a choice of `server`: undefined if the client may go there, as it may where the table is not shared. Else it
   * resolves within a tenth of a second, and then this is to be asked again, if the client is still bound to the
   * server.
   */
  agree(server: Server): Promise<void> | undefined {
    return this.client === undefined ? undefined : this.#shared?.agree(this.client, server.name);
  }

  /** How long a connection waits for agreements in all. */
  get agreeMs(): number {
    return this.#shared?.mostMs ?? 0;
  }

  /** Whether the client is bound to the server. */
  isBoundTo(server: Server): boolean {
    return this.client !== undefined && this.#table?.match(this.client) === server;
  }

  /** The connection is over. */
  close(): void {
    if (this.client === undefined) return;
    this.#table?.close(this.client);
    this.#shared?.closed(this.client);
  }
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
