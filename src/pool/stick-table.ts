import type { Binding, Entry } from './binding.ts';
import { Clients } from './clients.ts';
import { Crowd } from './crowd.ts';
import { Homes } from './homes.ts';
import type { Kept } from './kept.ts';
import type { StickTableOptions } from './table-options.ts';
import { Tally } from './tally.ts';

/** Entries that are dropped in one turn of the event loop: a millisecond of work or less. */
const STEPS_A_TURN = 100;

/**
 * Which server each client keeps.
 *
 * A client with open connections needs no clock and must not be evicted. Clients that are away go in the order in which
 * they left, which is that of their last use. @see Clients
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
  readonly #clients: Clients<S>;
  readonly #bound = new Tally<S>();
  readonly #now: () => number;
  #size: number;
  #expireMs: number;
  readonly #homes: Homes<S>;

  constructor({ size, expireMs, now = () => performance.now(), homes = false }: StickTableOptions) {
    this.#now = now;
    this.#size = size;
    this.#expireMs = expireMs;
    this.#homes = new Homes(homes);
    this.#clients = new Clients(this.#bound, this.#homes);
  }

  get size(): number {
    return this.#size;
  }

  /** Bindings that stand. */
  get entries(): number {
    return this.#bound.total;
  }

  entriesOf(server: S): number {
    return this.#bound.of(server);
  }

  /** The binding of a client as it stands, without touching it; `expiresMs` is undefined while connections hold it. */
  peek(client: string): { server: S; connections: number; expiresMs: number | undefined } | undefined {
    const entry = this.#clients.look(client);
    if (!entry?.server || this.#hasExpired(entry)) return undefined;
    const { server, connections } = entry;
    return { server, connections, expiresMs: connections > 0 ? undefined : this.#remainingMs(entry) };
  }

  /** A connection of `client` begins. From here to `close` its binding neither expires nor is evicted. */
  open(client: string): void {
    const entry = this.#clients.open(client) ?? this.#come(client);
    if (entry.server) this.hits++;
    else this.misses++;
    entry.connections++;
    this.crowd.open(entry);
  }

  /** The server that an open client is bound to. */
  match(client: string): S | undefined {
    return this.#clients.open(client)?.server;
  }

  /** The first server of an open client that was moved from it. */
  home(client: string): S | undefined {
    return this.#homes.of(client);
  }

  /** Binds an open client, or moves its binding: then it returns the server that the client was bound to. */
  bind(client: string, server: S): S | undefined {
    const held = this.#clients.open(client);
    const before = held?.server;
    if (!held || before === server) return undefined;
    if (before) {
      this.moves++;
      this.#bound.count(before, -1);
      this.#homes.moved(client, before, server);
    }
    held.server = server;
    this.#bound.count(server, 1);
    if (this.#bound.total > this.#size) this.#dropOldest(false);
    return before;
  }

  /** Another balancer has bound a client that is known here: to `server`, or to a server that is not known here. */
  follow(client: string, server: S | undefined, home: S | undefined): void {
    const open = this.#clients.open(client);
    if (!server) return void this.unbind(client);
    if (!open && !this.peek(client)) return;
    const entry = open ?? this.#come(client);
    if (entry.server) this.#bound.count(entry.server, -1);
    this.#bound.count((entry.server = server), 1);
    this.#homes.forget(client);
    if (home) this.#homes.set(client, home);
    if (!open) this.#clients.leave(entry, this.#now());
  }

  /** Takes a client's binding away; returns whether it had one. Its open connections stay. */
  unbind(client: string): boolean {
    const entry = this.#clients.look(client);
    if (!entry?.server || this.#hasExpired(entry)) return false;
    this.#bound.count(entry.server, -1);
    this.#homes.forget(client);
    const open = this.#clients.open(client);
    if (open) open.server = undefined;
    else this.#clients.drop(client);
    return true;
  }

  /** A connection of `client` has ended; with the last one the binding's time begins to run. */
  close(client: string): void {
    const held = this.#clients.open(client);
    if (!held) return;
    this.crowd.close();
    if (--held.connections > 0) return;
    this.#clients.leave(held, this.#now());
    if (this.#bound.total > this.#size) this.#dropOldest(false);
  }

  /**
   * Drops what has expired or has no room, for a millisecond at most. Returns whether there is more to drop: then it is
   * to be called again in another turn of the event loop.
   */
  expire(): boolean {
    return this.#dropOldest(true);
  }

  /** All bindings. @see walk */
  *bindings(): Generator<Binding<S>> {
    for (const binding of this.walk()) if (binding) yield binding;
  }

  /**
   * All bindings, in an order that stays; undefined for a step that finds none. The table may change between two steps:
   * a binding that comes meanwhile may be listed or not, and each that stays is listed once.
   */
  *walk(): Generator<Binding<S> | undefined> {
    for (const found of this.#clients.all()) {
      if (!found) {
        yield undefined;
        continue;
      }
      const [entry, home] = found;
      const { client, server, connections } = entry;
      const remainingMs = connections > 0 ? this.#expireMs : this.#remainingMs(entry);
      yield server && remainingMs >= 0 ? { client, server, home, remainingMs } : undefined;
    }
  }

  /** Whether a client has been here, and is not forgotten. */
  knows(client: string): boolean {
    const entry = this.#clients.look(client);
    const expired = entry !== undefined && this.#hasExpired(entry);
    if (expired) this.#drop(entry, 'expirations');
    return entry !== undefined && !expired;
  }

  /**
   * What `kept` collects until it is adopted or, with undefined, given up. Whoever comes meanwhile is taken out of it:
   * what is known now stands.
   */
  expect(kept: Kept<S> | undefined): void {
    this.#clients.expect(kept);
  }

  /**
   * The bindings that `kept` has collected stand from now on, where `servers` has their servers. Where they have no
   * room, `expire` drops the least recently used of all.
   */
  adopt(kept: Kept<S>, servers: ReadonlyMap<string, S>): void {
    this.#clients.adopt(kept, servers, this.#now(), this.#expireMs);
  }

  /**
   * Another size, life or memory of homes for the bindings that stand. A binding's time has run since its last match,
   * whatever its life was then. Where many have no time or no room any more, `expire` drops them by and by.
   */
  change({ size, expireMs, homes = false }: Omit<StickTableOptions, 'now'>): void {
    this.#size = size;
    this.#expireMs = expireMs;
    this.#homes.keep(homes);
    this.expire();
  }

  /** A client that has no connections comes. */
  #come(client: string): Entry<S> {
    const entry = this.#clients.come(client);
    if (entry.server && this.#remainingMs(entry) < 0) {
      this.#count(entry.server, 'expirations');
      this.#homes.forget(client);
      entry.server = undefined;
    }
    return entry;
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
      const isFull = this.#bound.total > this.#size;
      const oldest = expired || isFull ? this.#clients.oldest : undefined;
      if (oldest && expired && this.#hasExpired(oldest)) this.#drop(oldest, 'expirations');
      else if (oldest && isFull) this.#drop(oldest, 'evictions');
      else return false;
    }
    return true;
  }

  /** Takes out a client that is away, with all that is known of it. */
  #drop({ client, server }: Entry<S>, reason: 'evictions' | 'expirations'): void {
    if (server) this.#count(server, reason);
    this.#homes.forget(client);
    this.#clients.drop(client);
  }

  #count(server: S, lost: 'evictions' | 'expirations'): void {
    this[lost]++;
    this.#bound.count(server, -1);
  }
}
