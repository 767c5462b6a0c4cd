import type { Entry } from './binding.ts';
import type { Homes } from './homes.ts';
import type { Kept, KeptBinding } from './kept.ts';
import type { Tally } from './tally.ts';
import { WideMap } from './wide-map.ts';

const NOBODY = { client: '', serial: 0, server: undefined, connections: 0, leftMs: 0 } as const;

/** Every client that a stick table knows: those that have been here, and those whose bindings a state file has kept. */
export class Clients<S extends object> {
  readonly #entries = new WideMap<Entry<S>>();
  readonly #bound: Tally<S>;
  readonly #homes: Homes<S>;
  #serial = 1;
  #kept: readonly Kept<S>[] = [];
  /** What a plan collects. */
  #expected: Kept<S> | undefined;

  /** Kept bindings are counted in `bound`; `homes` hears of a home when its client comes. */
  constructor(bound: Tally<S>, homes: Homes<S>) {
    this.#bound = bound;
    this.#homes = homes;
  }

  /** A client that has been here. */
  get(client: string): Entry<S> | undefined {
    return this.#entries.get(client);
  }

  /** A client as it is known, for those who only look. */
  look(client: string): Readonly<Entry<S>> | undefined {
    const known = this.#entries.get(client);
    if (known) return known;
    for (const kept of this.#kept) {
      const found = kept.get(client);
      if (found) return away(found);
    }
    return undefined;
  }

  /** A client that comes: a binding that was kept for it is no longer a kept one. */
  find(client: string): Entry<S> | undefined {
    const known = this.#entries.get(client);
    if (known) return known;
    const kept = this.#takeKept(client);
    if (!kept) return undefined;
    if (kept.home) this.#homes.set(client, kept.home);
    return this.#add(client, kept.server, kept.leftMs);
  }

  /** A client that is not known. */
  add(client: string): Entry<S> {
    return this.#add(client, undefined, 0);
  }

  /** What the client was bound to is nothing any more. */
  unbind(client: string): void {
    const entry = this.#entries.get(client);
    if (entry) entry.server = undefined;
    else this.#takeKept(client);
  }

  /** Takes out a client, whether it has been here or not. */
  delete(client: string): void {
    if (!this.#entries.delete(client)) this.#takeKept(client);
  }

  /** The least recently used of those that have not been here. */
  get oldestKept(): Entry<S> | undefined {
    let oldest: KeptBinding<S> | undefined;
    for (const kept of this.#kept) {
      const found = kept.oldest;
      if (found && !(oldest && oldest.leftMs <= found.leftMs)) oldest = found;
    }
    return oldest && away(oldest);
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
   * All clients, in no order, each with its home. They may change between two steps: who comes meanwhile may be listed
   * or not, and each that stays is listed once, beside places that are empty.
   */
  *all(): Generator<readonly [entry: Readonly<Entry<S>>, home: S | undefined]> {
    const [end, keptOnes] = [this.#serial, this.#kept];
    for (const part of this.#entries.parts) {
      for (const entry of part.values()) {
        // A walk of the living map would never end if clients came faster.
        if (entry.serial >= end) break;
        yield [entry, this.#homes.of(entry.client)];
      }
    }
    for (const kept of keptOnes) {
      for (const [client, binding] of kept.all()) {
        const back = binding ? undefined : this.#entries.get(client);
        if (binding) yield [away(binding), this.#homes.wanted ? binding.home : undefined];
        // Others that are back were listed above.
        else if (back && back.serial >= end) yield [back, this.#homes.of(client)];
        else yield [NOBODY, undefined];
      }
    }
  }

  #add(client: string, server: S | undefined, leftMs: number): Entry<S> {
    this.#expected?.take(client);
    const entry = { client, serial: this.#serial++, server, connections: 0, leftMs };
    this.#entries.set(client, entry);
    return entry;
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

function away<S>({ client, server, leftMs }: KeptBinding<S>): Entry<S> {
  return { client, serial: 0, server, connections: 0, leftMs };
}
