import { Crowd } from './crowd.ts';
import { Recency } from './recency.ts';

/** Entries that are dropped in one turn of the event loop: a millisecond of work or less. */
const STEPS_A_TURN = 500;

export type StickTableOptions = {
  /** Most entries. */
  readonly size: number;
  /** How long a binding outlives the client's last match or last closed connection. */
  readonly expireMs: number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** Remember the first server of a client that was moved: `home`. */
  readonly homes?: boolean;
};

/** A binding as a state file keeps it: `remainingMs` is its life if its client is away from now on. */
export type Binding<S> = {
  readonly client: string;
  readonly server: S;
  readonly home: S | undefined;
  readonly remainingMs: number;
};

type Entry<S> = {
  readonly client: string;
  /** Entries are numbered as they come. */
  readonly serial: number;
  server: S | undefined;
  connections: number;
  /** When the last connection was closed; of no meaning while there are connections. */
  leftMs: number;
};

/**
 * Which server each client keeps.
 *
 * One map has every client, with the count of its open connections. A client with open connections needs no clock and
 * must not be evicted. Clients that are away go in the order of their last use, which a `Recency` keeps. A client that
 * comes back stays there: to take it out for each connection would, by and by, make a large map rebuild itself. It is
 * taken out if it is found open when it would be the next to go.
 *
 * Clients with open connections may outnumber `size`; their bindings then live as long as the connections.
 */
export class StickTable<S extends object> {
  hits = 0;
  misses = 0;
  evictions = 0;
  expirations = 0;
  moves = 0;
  readonly crowd = new Crowd();
  readonly #clients = new Map<string, Entry<S>>();
  /** Every client that is away, and some that are open. */
  readonly #recency = new Recency<Entry<S>>();
  readonly #entriesOf = new Map<S, number>();
  readonly #now: () => number;
  #size: number;
  #expireMs: number;
  #bound = 0;
  #serial = 0;
  /** The first server of each client that was moved from it. */
  #homes: Map<string, S> | undefined;

  constructor({ size, expireMs, now = () => performance.now(), homes = false }: StickTableOptions) {
    this.#now = now;
    this.#size = size;
    this.#expireMs = expireMs;
    if (homes) this.#homes = new Map();
  }

  get size(): number {
    return this.#size;
  }

  /** Bindings that stand. */
  get entries(): number {
    return this.#bound;
  }

  entriesOf(server: S): number {
    return this.#entriesOf.get(server) ?? 0;
  }

  /** The binding of a client as it stands, without touching it; `expiresMs` is undefined while connections hold it. */
  peek(client: string): { server: S; connections: number; expiresMs: number | undefined } | undefined {
    const entry = this.#clients.get(client);
    if (!entry?.server || this.#hasExpired(entry)) return undefined;
    const { server, connections } = entry;
    return { server, connections, expiresMs: connections > 0 ? undefined : this.#remainingMs(entry) };
  }

  /** A connection of `client` begins. From here to `close` its binding neither expires nor is evicted. */
  open(client: string): void {
    let entry = this.#clients.get(client);
    if (entry && this.#hasExpired(entry)) {
      this.#drop(entry, 'expirations');
      entry = undefined;
    }
    if (entry?.server) this.hits++;
    else this.misses++;
    entry ??= this.#add(client, undefined);
    entry.connections++;
    this.crowd.open(entry);
  }

  /** The server that an open client is bound to. */
  match(client: string): S | undefined {
    return this.#held(client)?.server;
  }

  /** The first server of an open client that was moved from it. */
  home(client: string): S | undefined {
    return this.#homes?.get(client);
  }

  /** Binds an open client, or moves its binding. */
  bind(client: string, server: S): void {
    const held = this.#held(client);
    if (!held || held.server === server) return;
    if (held.server) {
      this.moves++;
      this.#count(held.server, -1);
      if (server === this.#homes?.get(client)) this.#homes.delete(client);
      else if (!this.#homes?.has(client)) this.#homes?.set(client, held.server);
    }
    held.server = server;
    this.#count(server, 1);
    if (this.#bound > this.#size) this.#dropOldest(false);
  }

  /** A connection of `client` has ended; with the last one the binding's time begins to run. */
  close(client: string): void {
    const held = this.#held(client);
    if (!held) return;
    this.crowd.close();
    if (--held.connections > 0) return;
    if (!held.server) {
      this.#clients.delete(client);
      return;
    }
    held.leftMs = this.#now();
    this.#recency.touch(held);
    if (this.#bound > this.#size) this.#dropOldest(false);
  }

  /**
   * Drops what has expired or has no room, for a millisecond at most. Returns whether there is more to drop: then it is
   * to be called again in another turn of the event loop.
   */
  expire(): boolean {
    return this.#dropOldest(true);
  }

  /**
   * All bindings, in no order. The table may change between two steps: a binding that comes meanwhile may be listed or
   * not, and each that stays is listed once.
   */
  *bindings(): Generator<Binding<S>> {
    const end = this.#serial;
    for (const entry of this.#clients.values()) {
      // A walk of the living map would never end if clients came faster.
      if (entry.serial >= end) return;
      const { client, server, connections } = entry;
      if (!server || this.#hasExpired(entry)) continue;
      const remainingMs = connections > 0 ? this.#expireMs : this.#remainingMs(entry);
      yield { client, server, home: this.#homes?.get(client), remainingMs };
    }
  }

  /**
   * Takes a binding that a state file has kept, and makes room for it. Returns false for a binding that has run out,
   * and for a client that has a binding already. Of many bindings the oldest must come first.
   */
  restore({ client, server, home, remainingMs }: Binding<S>): boolean {
    const former = this.#clients.get(client);
    if (remainingMs <= 0 || (former && !this.#hasExpired(former))) return false;
    if (former) this.#drop(former, 'expirations');
    const entry = this.#add(client, server);
    entry.leftMs = this.#now() - (this.#expireMs - Math.min(remainingMs, this.#expireMs));
    this.#recency.touch(entry);
    this.#count(server, 1);
    if (home) this.#homes?.set(client, home);
    if (this.#bound > this.#size) this.#dropOldest(false);
    return true;
  }

  /**
   * Another size, life or memory of homes for the bindings that stand. A binding's time has run since its last match,
   * whatever its life was then. Where many have no time or no room any more, `expire` drops them by and by.
   */
  change({ size, expireMs, homes = false }: Omit<StickTableOptions, 'now'>): void {
    this.#size = size;
    this.#expireMs = expireMs;
    this.#homes = homes ? (this.#homes ?? new Map<string, S>()) : undefined;
    this.expire();
  }

  #held(client: string): Entry<S> | undefined {
    const entry = this.#clients.get(client);
    return entry && entry.connections > 0 ? entry : undefined;
  }

  #remainingMs({ leftMs }: Entry<S>): number {
    return this.#expireMs - (this.#now() - leftMs);
  }

  #hasExpired(entry: Entry<S>): boolean {
    return entry.connections === 0 && this.#remainingMs(entry) < 0;
  }

  /**
   * Drops clients that are away, the oldest first, while there are too many, or while the oldest has run out if it is
   * the turn of those. Returns whether that has not come to an end.
   */
  #dropOldest(expired: boolean): boolean {
    for (let steps = 0; steps < STEPS_A_TURN; steps++) {
      const { oldest } = this.#recency;
      if (!oldest) return false;
      // Who is open comes in again at its close.
      if (oldest.connections > 0) this.#recency.remove(oldest);
      else if (expired && this.#hasExpired(oldest)) this.#drop(oldest, 'expirations');
      else if (this.#bound > this.#size) this.#drop(oldest, 'evictions');
      else return false;
    }
    return true;
  }

  #add(client: string, server: S | undefined): Entry<S> {
    const entry: Entry<S> = { client, serial: this.#serial++, server, connections: 0, leftMs: 0 };
    this.#clients.set(client, entry);
    return entry;
  }

  /** Takes out a client that is away, with all that is known of it. */
  #drop(entry: Entry<S>, reason: 'evictions' | 'expirations'): void {
    this[reason]++;
    if (entry.server) this.#count(entry.server, -1);
    this.#homes?.delete(entry.client);
    this.#clients.delete(entry.client);
    this.#recency.remove(entry);
  }

  #count(server: S, by: 1 | -1): void {
    this.#bound += by;
    const entries = this.entriesOf(server) + by;
    if (entries > 0) this.#entriesOf.set(server, entries);
    else this.#entriesOf.delete(server);
  }
}
