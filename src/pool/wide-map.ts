/** Parts of what may be large. With two million keys each has 8,000, and rebuilds itself in less than a millisecond. */
export const PARTS = 256;

/** The part in which a key is found. */
export function partOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return (hash ^ (hash >>> 15)) & (PARTS - 1);
}

/**
 * A map by strings that may have millions of keys. A plain map that outgrows its memory copies all its entries at once,
 * which for millions holds the event loop for more than a tenth of a second.
 */
export class WideMap<V> {
  /** Parts that have never had a key are undefined. */
  readonly #parts: (Map<string, V> | undefined)[] = Array.from({ length: PARTS }, () => undefined);

  get(key: string): V | undefined {
    return this.#parts[partOf(key)]?.get(key);
  }

  set(key: string, value: V): void {
    (this.#parts[partOf(key)] ??= new Map<string, V>()).set(key, value);
  }

  delete(key: string): void {
    this.#parts[partOf(key)]?.delete(key);
  }

  /** The keys of one part. */
  keysOf(part: number): Iterable<string> {
    return this.#parts[part]?.keys() ?? [];
  }
}
