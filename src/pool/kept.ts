import { Away, type Found } from './away.ts';
import { clientOf, codeOf, type ClientCode } from './client-code.ts';
import { partOf, PARTS, WideMap } from './wide-map.ts';

/** Bindings that are put in their order in one turn of the event loop: a millisecond of work or less. */
const ADDED_A_TURN = 1_000;
/** Bindings to servers that are not in force which are passed at once. */
const PASSED_AT_ONCE = 100;

/** About a nanosecond. */
const TICK_MS = 2 ** -20;

/** A binding that stands, and the server that its client was moved from. */
export type KeptBinding<S> = Found<S> & { readonly client: string; readonly home: S | undefined };

/** A server by its name, and how many bindings there are to it. */
type Named = { readonly name: string; count: number };

/** Bindings of one part as they are read, side by side: the lists of two million objects would take much longer. */
class Lines {
  readonly clients: ClientCode[] = [];
  readonly servers: Named[] = [];
  readonly livesMs: number[] = [];
  readonly homes = new Map<number, string>();
}

/**
 * Bindings that a state file has kept, of clients that have not come back yet. A plan collects and sorts them in
 * slices, beside what runs. From the commit on they stand beside the bindings of a stick table, so that to put millions
 * of them in force takes no time: a client that comes back takes its binding with it.
 */
export class Kept<S extends object> {
  /** Bindings to servers that are in force. */
  size = 0;
  /** What is read, by part, until it is sorted. */
  readonly #lines: (Lines | undefined)[] = Array.from({ length: PARTS }, () => undefined);
  /** Clients that came before their part was sorted. */
  readonly #came = new Set<ClientCode>();
  /** Clients in the order of what they have left to live. */
  readonly #away = new Away<Named>();
  readonly #homes = new WideMap<string>();
  readonly #servers = new Map<string, Named>();
  #read = 0;
  readonly #isKnown: (client: string) => boolean;
  #inForce: ReadonlyMap<string, S> = new Map();
  #expireMs = 0;
  #sinceMs = 0;

  /** Whoever `isKnown` to the table is not collected. */
  constructor(isKnown: (client: string) => boolean = () => false) {
    this.#isKnown = isKnown;
  }

  /** Collects a binding that has `lifeMs` left. Of several for one client the first stands. */
  add(client: string, server: string, home: string | undefined, lifeMs: number): void {
    if (lifeMs <= 0 || this.#isKnown(client)) return;
    const lines = (this.#lines[partOf(client)] ??= new Lines());
    if (home !== undefined) lines.homes.set(lines.clients.length, home);
    lines.clients.push(codeOf(client));
    lines.servers.push(this.#named(server));
    // Of equal lives the first of the file is the first to go: a million lines make a millisecond.
    lines.livesMs.push(lifeMs + this.#read++ * TICK_MS);
  }

  /** Puts those with the shortest life first: a slice with each step. */
  *sorting(): Generator<void> {
    for (const [part, lines] of this.#lines.entries()) {
      if (!lines) continue;
      const order = this.#sorted(lines);
      yield;
      for (const [done, at] of order.entries()) {
        this.#put(lines, at);
        if (done % ADDED_A_TURN === ADDED_A_TURN - 1) yield;
      }
      this.#lines[part] = undefined;
    }
  }

  /**
   * The bindings to `servers` stand from `nowMs` on, with at most `expireMs` to live. Returns how many there are to
   * each. To be called once, after the sorting.
   */
  stand(servers: ReadonlyMap<string, S>, nowMs: number, expireMs: number): ReadonlyMap<S, number> {
    [this.#inForce, this.#sinceMs, this.#expireMs] = [servers, nowMs - expireMs, expireMs];
    const counts = new Map<S, number>();
    for (const { name, count } of this.#servers.values()) {
      const server = servers.get(name);
      if (server) counts.set(server, count);
      this.size += server ? count : 0;
    }
    return counts;
  }

  /** The binding of a client. */
  get(client: string): KeptBinding<S> | undefined {
    const found = this.#away.get(client);
    return found && this.#inForceOf(client, found);
  }

  /** Takes the binding of a client out. */
  take(client: string): KeptBinding<S> | undefined {
    if (this.#lines[partOf(client)]) this.#came.add(codeOf(client));
    const found = this.#away.take(client);
    if (!found) return undefined;
    found.value.count--;
    const binding = this.#inForceOf(client, found);
    this.#homes.delete(client);
    if (binding) this.size--;
    return binding;
  }

  /** The least recently used. Undefined if nothing is left, or if it takes more than this call to find it. */
  get first(): KeptBinding<S> | undefined {
    for (let passed = 0; passed < PASSED_AT_ONCE; passed++) {
      const first = this.#away.first;
      if (!first) return undefined;
      const binding = this.#inForceOf(first.client, first);
      if (binding) return binding;
      this.#away.drop(first.client);
    }
    return undefined;
  }

  /** The clients of one part. */
  codesOf(part: number): Iterable<ClientCode> {
    return this.#away.codesOf(part);
  }

  #named(name: string): Named {
    const known = this.#servers.get(name);
    if (known) return known;
    const named = { name, count: 0 };
    this.#servers.set(name, named);
    return named;
  }

  /** The places of the lines that count, the shortest life first. */
  #sorted({ clients, livesMs }: Lines): number[] {
    const seen = new Set<ClientCode>();
    const order: number[] = [];
    for (const [at, client] of clients.entries()) {
      if (seen.has(client) || this.#came.has(client)) continue;
      seen.add(client);
      order.push(at);
    }
    return order.toSorted((a, b) => (livesMs[a] ?? 0) - (livesMs[b] ?? 0));
  }

  #put({ clients, servers, livesMs, homes }: Lines, at: number): void {
    const [code, server, lifeMs, home] = [clients[at], servers[at], livesMs[at], homes.get(at)];
    if (code === undefined || !server || lifeMs === undefined) return;
    // Who came while the others of its part were put in.
    if (this.#came.has(code)) return;
    const client = clientOf(code);
    this.#away.add(client, server, lifeMs);
    server.count++;
    if (home !== undefined) this.#homes.set(client, home);
  }

  #inForceOf(client: string, { value: { name }, leftMs: lifeMs }: Found<Named>): KeptBinding<S> | undefined {
    const value = this.#inForce.get(name);
    if (!value) return undefined;
    const home = this.#inForce.get(this.#homes.get(client) ?? '');
    return { client, value, home, leftMs: this.#sinceMs + Math.min(lifeMs, this.#expireMs) };
  }
}
