import { LRUCache } from 'lru-cache';

export type StickTableOptions = {
  /** Most entries. */
  readonly size: number;
  /** How long a binding outlives the client's last match or last closed connection. */
  readonly expireMs: number;
  /** A monotonic clock in milliseconds that never reads 0 (lru-cache takes 0 for "no time to live"). */
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

type Held<S> = { server: S | undefined; connections: number };

/**
 * Which server each client keeps.
 *
 * A client with open connections needs no clock and must not be evicted: it stands in a plain map with a count. A
 * client that is away needs both: it stands in an LRU cache whose size, age and eviction are the library's business.
 * Clients with open connections may outnumber `size`; their bindings then live as long as the connections.
 */
export class StickTable<S extends object> {
  hits = 0;
  misses = 0;
  evictions = 0;
  expirations = 0;
  moves = 0;
  readonly #held = new Map<string, Held<S>>();
  readonly #now: () => number;
  #size: number;
  #expireMs: number;
  #away: LRUCache<string, S>;
  /** The clients in the cache, in the cache's order: to list the cache itself takes a hundred times as long. */
  readonly #roll = new Set<string>();
  readonly #entriesOf = new Map<S, number>();
  /** The first server of each client that was moved from it. */
  #homes: Map<string, S> | undefined;

  constructor({ size, expireMs, now = () => performance.now(), homes = false }: StickTableOptions) {
    this.#now = now;
    this.#size = size;
    this.#expireMs = expireMs;
    if (homes) this.#homes = new Map();
    this.#away = this.#cache();
  }

  /** Most entries. */
  get size(): number {
    return this.#size;
  }

  /** Bindings that stand, those of clients with open connections included. */
  get entries(): number {
    return this.#held.size + this.#away.size;
  }

  entriesOf(server: S): number {
    return this.#entriesOf.get(server) ?? 0;
  }

  /** The binding of a client as it stands, without touching it; `expiresMs` is undefined while connections hold it. */
  peek(client: string): { server: S; connections: number; expiresMs: number | undefined } | undefined {
    const held = this.#held.get(client);
    const expiresMs = held ? undefined : this.#away.getRemainingTTL(client);
    const server = held ? held.server : this.#away.peek(client, { allowStale: false });
    return server && { server, connections: held?.connections ?? 0, expiresMs };
  }

  /** A connection of `client` begins. From here to `close` its binding neither expires nor is evicted. */
  open(client: string): void {
    const held = this.#held.get(client);
    const server = held ? held.server : this.#away.get(client, { allowStale: false });
    if (server) this.hits++;
    else this.misses++;
    if (held) held.connections++;
    else {
      this.#away.delete(client);
      this.#roll.delete(client);
      this.#held.set(client, { server, connections: 1 });
    }
  }

  /** The server that an open client is bound to. */
  match(client: string): S | undefined {
    return this.#held.get(client)?.server;
  }

  /** The first server of an open client that was moved from it. */
  home(client: string): S | undefined {
    return this.#homes?.get(client);
  }

  /** Binds an open client, or moves its binding. */
  bind(client: string, server: S): void {
    const held = this.#held.get(client);
    if (!held || held.server === server) return;
    if (held.server) {
      this.moves++;
      this.#count(held.server, -1);
      if (server === this.#homes?.get(client)) this.#homes.delete(client);
      else if (!this.#homes?.has(client)) this.#homes?.set(client, held.server);
    }
    held.server = server;
    this.#count(server, 1);
    this.#makeRoom();
  }

  /** A connection of `client` has ended; with the last one the binding's time begins to run. */
  close(client: string): void {
    const held = this.#held.get(client);
    if (!held || --held.connections > 0) return;
    this.#held.delete(client);
    if (!held.server) return;
    this.#roll.add(client);
    this.#away.set(client, held.server);
    this.#makeRoom();
  }

  /** Drops what has expired. All entries live equally long, so the least recently used one is the oldest. */
  expire(): void {
    for (;;) {
      const oldest = this.#away.rkeys().next();
      if (oldest.done === true || this.#away.getRemainingTTL(oldest.value) >= 0) return;
      this.#away.get(oldest.value, { allowStale: false });
    }
  }

  /**
   * All bindings, the oldest first. The table may change between two steps: a binding that comes meanwhile may be
   * listed or not.
   */
  *bindings(): Generator<Binding<S>> {
    const binding = (client: string, server: S, remainingMs: number): Binding<S> => ({
      client,
      server,
      home: this.#homes?.get(client),
      remainingMs,
    });
    // A copy of the clients that are bound now: a walk of the living set would never end if clients come faster.
    for (const client of [...this.#roll, ...this.#held.keys()]) {
      const held = this.#held.get(client);
      const server = held ? held.server : this.#away.peek(client, { allowStale: false });
      if (server) yield binding(client, server, held ? this.#expireMs : this.#away.getRemainingTTL(client));
    }
  }

  /**
   * Takes a binding that a state file has kept, and makes room for it. Returns false for a binding that has run out,
   * and for a client that has a binding already.
   */
  restore({ client, server, home, remainingMs }: Binding<S>): boolean {
    if (remainingMs <= 0 || this.#held.has(client) || this.#away.has(client)) return false;
    // A binding that has run out may still stand in the cache, with its home and its place in the server's count.
    this.#away.get(client, { allowStale: false });
    const ageMs = this.#expireMs - Math.min(remainingMs, this.#expireMs);
    this.#roll.add(client);
    this.#away.set(client, server, { start: this.#now() - ageMs });
    this.#count(server, 1);
    if (home) this.#homes?.set(client, home);
    this.#makeRoom();
    return true;
  }

  /**
   * Another size, life or memory of homes for the bindings that stand. A binding's time has run since its last match,
   * whatever its life was then. The change holds the event loop: up to a second for 200 000 entries, on a busy
   * machine.
   */
  change({ size, expireMs, homes = false }: Omit<StickTableOptions, 'now'>): void {
    const [old, oldExpireMs] = [this.#away, this.#expireMs];
    this.#size = size;
    this.#expireMs = expireMs;
    this.#homes = homes ? (this.#homes ?? new Map<string, S>()) : undefined;
    this.#away = this.#cache();
    for (const client of old.rkeys()) {
      const server = old.peek(client);
      const ageMs = oldExpireMs - old.getRemainingTTL(client);
      if (server) this.#away.set(client, server, { start: this.#now() - ageMs });
    }
    this.expire();
    this.#makeRoom();
  }

  #cache(): LRUCache<string, S> {
    return new LRUCache<string, S>({
      max: this.#size,
      ttl: this.#expireMs,
      ttlResolution: 0,
      perf: { now: this.#now },
      // `expire` must see stale entries; every `get` refuses them.
      allowStale: true,
      dispose: (server, client, reason) => {
        if (reason === 'expire') this.expirations++;
        else if (reason === 'evict') this.evictions++;
        else return;
        this.#count(server, -1);
        this.#homes?.delete(client);
        this.#roll.delete(client);
      },
    });
  }

  /** The least recently used client that is away goes first. */
  #makeRoom(): void {
    while (this.entries > this.#size && this.#away.size > 0) this.#away.pop();
  }

  #count(server: S, by: 1 | -1): void {
    const entries = this.entriesOf(server) + by;
    if (entries > 0) this.#entriesOf.set(server, entries);
    else this.#entriesOf.delete(server);
  }
}
