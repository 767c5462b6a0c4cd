import { LRUCache } from 'lru-cache';

/**
 * Clients in the order of their last use. What each call costs does not depend on how many there are, were or may be.
 */
export class Recency<E extends { readonly client: string }> {
  /** The cache's own bound is none, because `max` would take memory for as many entries at once. */
  readonly #cache = new LRUCache<string, E>({ maxSize: Number.MAX_SAFE_INTEGER, sizeCalculation: () => 1 });

  /** The one whose last use lies furthest back. */
  get oldest(): E | undefined {
    const first = this.#cache.rvalues().next();
    return first.done === true ? undefined : first.value;
  }

  /** It has been used now. */
  touch(entry: E): void {
    this.#cache.set(entry.client, entry);
  }

  remove({ client }: E): void {
    // lru-cache clears itself when its last entry is deleted, and fills arrays as long as it ever was for that.
    if (this.#cache.size > 1) this.#cache.delete(client);
    else if (this.#cache.has(client)) this.#cache.pop();
  }
}
