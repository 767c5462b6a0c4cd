import { WideMap } from './wide-map.ts';

/** Places that are sorted, or merged, in one turn of the event loop: a millisecond of work or less. */
const RUN = 4_096;
const MERGED_A_TURN = 16_384;
/** Places without a binding that are passed at once. */
const PASSED_AT_ONCE = 100;

/** A binding of a state file. */
export type KeptBinding<S> = {
  readonly client: string;
  readonly server: S;
  readonly home: S | undefined;
  /** When the client's last connection was closed, on the clock of the stick table. */
  readonly leftMs: number;
};

/**
 * Bindings that a state file has kept, of clients that have not come back yet. A plan collects and sorts them in
 * slices, beside what runs. From the commit on they stand beside the bindings of a stick table, so that to put millions
 * of them in force takes no time: a client that comes back takes its binding with it.
 */
export class Kept<S extends object> {
  /** Bindings to servers that are in force. */
  size = 0;
  /** By place, which is the order of the file. */
  readonly #clients: string[] = [];
  readonly #servers: string[] = [];
  readonly #livesMs: number[] = [];
  readonly #homes = new Map<string, string>();
  readonly #places = new WideMap<number>();
  /** How many bindings there are to the server of each name. */
  readonly #counts = new Map<string, number>();
  readonly #isKnown: (client: string) => boolean;
  /** The places, the shortest life first. */
  #order = new Uint32Array();
  /** How many places of the order are behind. */
  #behind = 0;
  #inForce: ReadonlyMap<string, S> = new Map();
  #expireMs = 0;
  #sinceMs = 0;

  /** Whoever `isKnown` to the table is not collected. */
  constructor(isKnown: (client: string) => boolean = () => false) {
    this.#isKnown = isKnown;
  }

  /** Collects a binding that has `lifeMs` left. Of several for one client the first stands. */
  add(client: string, server: string, home: string | undefined, lifeMs: number): void {
    if (lifeMs <= 0 || this.#places.has(client) || this.#isKnown(client)) return;
    this.#places.set(client, this.#clients.push(client) - 1);
    this.#servers.push(server);
    this.#livesMs.push(lifeMs);
    if (home !== undefined) this.#homes.set(client, home);
    this.#counts.set(server, (this.#counts.get(server) ?? 0) + 1);
  }

  /** Puts those with the shortest life first, those of equal life in the order of the file: a slice with each step. */
  *sorting(): Generator<void> {
    const lives = this.#livesMs;
    const count = lives.length;
    const byLife = (a: number, b: number): number => (lives[a] ?? 0) - (lives[b] ?? 0) || a - b;
    let [from, to] = [new Uint32Array(count), new Uint32Array(count)];
    for (let at = 0; at < count; at += RUN) {
      const run = from.subarray(at, at + RUN);
      for (let i = 0; i < run.length; i++) run[i] = at + i;
      run.sort(byLife);
      yield;
    }
    for (let width = RUN; width < count; width *= 2) {
      for (let at = 0; at < count; at += 2 * width) {
        yield* merging(from.subarray(at, at + 2 * width), to.subarray(at, at + 2 * width), width, byLife);
      }
      [from, to] = [to, from];
    }
    this.#order = from;
  }

  /**
   * The bindings to `servers` stand from `nowMs` on, with at most `expireMs` to live. Returns how many there are to
   * each. To be called once, after the sorting.
   */
  stand(servers: ReadonlyMap<string, S>, nowMs: number, expireMs: number): ReadonlyMap<S, number> {
    [this.#inForce, this.#sinceMs, this.#expireMs] = [servers, nowMs - expireMs, expireMs];
    const counts = new Map<S, number>();
    for (const [name, count] of this.#counts) {
      const server = servers.get(name);
      if (server) counts.set(server, count);
      this.size += server ? count : 0;
    }
    return counts;
  }

  /** The binding of a client. */
  get(client: string): KeptBinding<S> | undefined {
    const place = this.#places.get(client);
    return place === undefined ? undefined : this.#at(place);
  }

  /** Takes the binding of a client out. */
  take(client: string): KeptBinding<S> | undefined {
    const place = this.#places.get(client);
    if (place === undefined) return undefined;
    const found = this.#at(place);
    if (found) this.size--;
    this.#places.delete(client);
    this.#homes.delete(client);
    const server = this.#servers[place] ?? '';
    this.#counts.set(server, (this.#counts.get(server) ?? 0) - 1);
    return found;
  }

  /** The least recently used. Undefined if nothing is left, or if it takes more than this call to find it. */
  get oldest(): KeptBinding<S> | undefined {
    for (let passed = 0; passed < PASSED_AT_ONCE; passed++, this.#behind++) {
      const place = this.#order[this.#behind];
      if (place === undefined) return undefined;
      const found = this.#at(place);
      if (found) return found;
      this.#clients[place] = '';
    }
    return undefined;
  }

  /** Each client that is here when its turn comes, with its binding, and each that was taken out, without. */
  *all(): Generator<readonly [client: string, binding: KeptBinding<S> | undefined]> {
    for (const place of this.#order.subarray(this.#behind)) yield [this.#clients[place] ?? '', this.#at(place)];
  }

  #at(place: number): KeptBinding<S> | undefined {
    const client = this.#clients[place] ?? '';
    const server = this.#inForce.get(this.#servers[place] ?? '');
    if (!server || this.#places.get(client) !== place) return undefined;
    const home = this.#inForce.get(this.#homes.get(client) ?? '');
    return { client, server, home, leftMs: this.#sinceMs + Math.min(this.#livesMs[place] ?? 0, this.#expireMs) };
  }
}

/** Merges the first `width` places of `from`, and the rest of it, both in order, into `to`. */
function* merging(
  from: Uint32Array,
  to: Uint32Array,
  width: number,
  byLife: (a: number, b: number) => number,
): Generator<void> {
  const end = from.length;
  const middle = Math.min(width, end);
  let [left, right] = [0, middle];
  for (let at = 0; at < end; at++) {
    const [one = 0, other = 0] = [from[left], from[right]];
    const takesLeft = right === end || (left < middle && byLife(one, other) <= 0);
    to[at] = takesLeft ? one : other;
    if (takesLeft) left++;
    else right++;
    if (at % MERGED_A_TURN === MERGED_A_TURN - 1) yield;
  }
}
