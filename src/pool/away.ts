import { LRUCache } from 'lru-cache';
import { clientOf, codeOf, type ClientCode } from './client-code.ts';
import { PARTS, partOf } from './wide-map.ts';

/** What is kept for a client that is away, and when it left. */
export type Found<V> = { readonly value: V; readonly leftMs: number };

/**
 * Clients that are away, in the order in which they left. What each call costs does not depend on how many there are,
 * were or may be.
 *
 * There may be millions, so they are in parts by a hash of their names: whatever grows or rebuilds itself is small. Who
 * is first of all is known exactly, since each part knows when its first has left.
 */
export class Away<V extends object> {
  /** Parts in which there is nobody may be undefined. */
  readonly #parts: (Part<V> | undefined)[] = Array.from({ length: PARTS }, () => undefined);
  /** When the first of each part has left. */
  readonly #firstMs = new Float64Array(PARTS).fill(Infinity);

  get(client: string): Found<V> | undefined {
    const part = this.#parts[partOf(client)];
    return part && find(part, codeOf(client));
  }

  /** A client that is not here leaves: not before any other of its part, and not at the time 0. */
  add(client: string, value: V, leftMs: number): void {
    const at = partOf(client);
    (this.#parts[at] ??= newPart()).set(codeOf(client), value, { start: leftMs, ttl: NO_LIFE });
    if (this.#firstMs[at] === Infinity) this.#firstMs[at] = leftMs;
  }

  /** Takes a client out. */
  take(client: string): Found<V> | undefined {
    const at = partOf(client);
    const part = this.#parts[at];
    const code = codeOf(client);
    const found = part && find(part, code);
    if (!found) return undefined;
    // lru-cache clears itself when its last entry is deleted, and fills arrays as long as it ever was for that.
    if (part.size > 1) part.delete(code);
    else part.pop();
    if (part.size === 0) this.#firstMs[at] = Infinity;
    else if (found.leftMs === this.#firstMs[at]) this.#firstMs[at] = firstOf(part)?.leftMs ?? Infinity;
    return found;
  }

  /** The client that left before all others. */
  get first(): (Found<V> & { readonly client: string }) | undefined {
    let at = 0;
    for (let other = 1; other < PARTS; other++) {
      if ((this.#firstMs[other] ?? Infinity) < (this.#firstMs[at] ?? Infinity)) at = other;
    }
    const part = this.#parts[at];
    return part && firstOf(part);
  }

  /** Takes a client out for good, and returns whether it was here. A part without clients gives its memory back. */
  drop(client: string): boolean {
    const at = partOf(client);
    if (!this.take(client)) return false;
    if (this.#firstMs[at] === Infinity) this.#parts[at] = undefined;
    return true;
  }

  /** The clients of one part. */
  codesOf(part: number): Iterable<ClientCode> {
    return this.#parts[part]?.keys() ?? [];
  }
}

type Part<V extends object> = LRUCache<ClientCode, V>;

/** Where the clock stands at 0, what an entry has left to live is the very time from which it lives. */
const NO_LIFE = Number.MIN_VALUE;

/** The cache's own bound is none, because `max` would take memory for as many entries at once. */
const newPart = <V extends object>(): Part<V> =>
  new LRUCache({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: () => 1,
    ttlResolution: 0,
    perf: { now: () => 0 },
  });

function find<V extends object>(part: Part<V>, code: ClientCode): Found<V> | undefined {
  const value = part.peek(code);
  return value && { value, leftMs: part.getRemainingTTL(code) };
}

function firstOf<V extends object>(part: Part<V>): (Found<V> & { readonly client: string }) | undefined {
  const first = part.rkeys().next();
  if (first.done === true) return undefined;
  const found = find(part, first.value);
  return found && { ...found, client: clientOf(first.value) };
}
