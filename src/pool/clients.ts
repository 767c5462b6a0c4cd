import { Away, type Found } from './away.ts';
import type { Entry } from './binding.ts';
import { byCode, clientOf, codeOf } from './client-code.ts';
import type { Homes } from './homes.ts';
import type { Kept, KeptBinding } from './kept.ts';
import type { Tally } from './tally.ts';
import { PARTS, WideMap } from './wide-map.ts';

/** About a nanosecond. */
const TICK_MS = 2 ** -20;

/**
 * Every client that a stick table knows. Each is in one place: open, away, or one of those whose bindings a state file
 * has kept, and which have not come since.
 */
export class Clients<S extends object> {
  readonly #open = new WideMap<Entry<S>>();
  readonly #away = new Away<S>();
  readonly #bound: Tally<S>;
  readonly #homes: Homes<S>;
  #kept: readonly Kept<S>[] = [];
  /** No two clients leave at the same time, so that their times are their order. */
  #lastMs = -Infinity;
  /** What a plan collects. */
  #expected: Kept<S> | undefined;

  /** Kept bindings are counted in `bound`; `homes` hears of a home when its client comes. */
  constructor(bound: Tally<S>, homes: Homes<S>) {
    this.#bound = bound;
    this.#homes = homes;
  }

  /** A client that has connections. */
  open(client: string): Entry<S> | undefined {
    return this.#open.get(client);
  }

  /** A client as it is known, for those who only look. */
  look(client: string): Readonly<Entry<S>> | undefined {
    const open = this.#open.get(client);
    if (open) return open;
    const found = this.#away.get(client) ?? this.#lookKept(client);
    return found && entryOf(client, found);
  }

  /** A client that has no connections comes, with the binding that it had when it left. */
  come(client: string): Entry<S> {
    this.#expected?.take(client);
    let found = this.#away.take(client);
    if (!found) {
      const kept = this.#takeKept(client);
      if (kept?.home) this.#homes.set(client, kept.home);
      found = kept;
    }
    const entry = entryOf(client, found);
    this.#open.set(client, entry);
    return entry;
  }

  /** The last connection of a client is closed: it is away if it is bound, and else forgotten. */
  leave({ client, server }: Entry<S>, nowMs: number): void {
    this.#open.delete(client);
    if (!server) return;
    this.#lastMs = Math.max(nowMs, this.#lastMs + TICK_MS);
    this.#away.add(client, server, this.#lastMs);
  }

  /** Takes out a client that has no connections. */
  drop(client: string): void {
    if (!this.#away.drop(client)) this.#takeKept(client);
  }

  /** The least recently used of those that have no connections. */
  get oldest(): Entry<S> | undefined {
    let oldest = this.#away.first;
    for (const kept of this.#kept) {
      const first = kept.first;
      if (first && !(oldest && oldest.leftMs < first.leftMs)) oldest = first;
    }
    return oldest && entryOf(oldest.client, oldest);
  }

  /** Whoever comes is taken out of what `kept` collects, until it is adopted or, with undefined, given up. */
  expect(kept: Kept<S> | undefined): void {
    this.#expected = kept;
  }

  /** What `kept` has collected stands. @see Kept.stand */
  adopt(kept: Kept<S>, servers: ReadonlyMap<string, S>, nowMs: number, expireMs: number): void {
    this.#expected = undefined;
    for (const [server, count] of kept.stand(servers, nowMs, expireMs)) this.#bound.count(server, count);
    if (kept.size > 0) this.#kept = [...this.#kept, kept];
  }

  /**
   * All clients, in an order that stays, each with its home; undefined for one that has gone since the walk has reached
   * its part. They may change between two steps: who comes meanwhile may be listed or not, and each that stays is
   * listed once.
   */
  *all(): Generator<readonly [entry: Readonly<Entry<S>>, home: S | undefined] | undefined> {
    for (let part = 0; part < PARTS; part++) {
      // A walk of the living part would never end if clients came faster.
      const codes = [...this.#away.codesOf(part)];
      for (const client of this.#open.keysOf(part)) codes.push(codeOf(client));
      for (const kept of this.#kept) for (const code of kept.codesOf(part)) codes.push(code);
      for (const code of codes.toSorted(byCode)) {
        const entry = this.look(clientOf(code));
        yield entry && [entry, this.#homeOf(entry.client)];
      }
    }
  }

  #homeOf(client: string): S | undefined {
    return this.#homes.wanted ? (this.#homes.of(client) ?? this.#lookKept(client)?.home) : undefined;
  }

  #lookKept(client: string): KeptBinding<S> | undefined {
    for (const kept of this.#kept) {
      const found = kept.get(client);
      if (found) return found;
    }
    return undefined;
  }

  #takeKept(client: string): KeptBinding<S> | undefined {
    for (const kept of this.#kept) {
      const found = kept.take(client);
      if (kept.size === 0) this.#kept = this.#kept.filter((other) => other !== kept);
      if (found) return found;
    }
    return undefined;
  }
}

function entryOf<S>(client: string, found: Found<S> | undefined): Entry<S> {
  return { client, server: found?.value, connections: 0, leftMs: found?.leftMs ?? 0 };
}
