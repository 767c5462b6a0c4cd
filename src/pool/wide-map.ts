/** Parts of a map. With two million keys each part has 8,000, and rebuilds itself in less than a millisecond. */
const PARTS = 256;

/**
 * A map by strings that may have millions of keys. A plain map that outgrows its memory copies all its entries at once,
 * which for millions holds the event loop for more than a tenth of a second.
 */
export class WideMap<V> {
  /** In each part entries stand in the order in which they came. */
  readonly parts: readonly Map<string, V>[] = Array.from({ length: PARTS }, () => new Map<string, V>());

  get(key: string): V | undefined {
    return this.#part(key).get(key);
  }

  has(key: string): boolean {
    return this.#part(key).has(key);
  }

  set(key: string, value: V): void {
    this.#part(key).set(key, value);
  }

  /** Returns whether it was there. */
  delete(key: string): boolean {
    return this.#part(key).delete(key);
  }

  #part(key: string): Map<string, V> {
    let hash = 0;
    for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
    const part = this.parts[(hash ^ (hash >>> 15)) & (PARTS - 1)];
    if (!part) throw new TypeError('a map without parts');
    return part;
  }
}
