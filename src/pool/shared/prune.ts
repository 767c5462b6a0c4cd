import { PARTS, type WideMap } from '../wide-map.ts';

/** Looked at for each that comes: so, by and by, those that are of no use are fewer than the others. */
const STEPS = 2;

/**
 * Returns what is to be called for each key that comes to a collection: it looks at a few of the `keys` in turn, and
 * drops those that are not `wanted` any more. So the collection stays small without a hook for each end, and without a
 * walk of all at once.
 */
export function pruner(
  keys: () => Iterator<string>,
  wanted: (key: string) => boolean,
  drop: (key: string) => void,
): () => void {
  let turn: Iterator<string> | undefined;
  return () => {
    for (let step = 0; step < STEPS; step++) {
      turn ??= keys();
      const { done, value } = turn.next();
      if (done === true) turn = undefined;
      else if (!wanted(value)) drop(value);
    }
  };
}

/** A set of clients that forgets those who are not `wanted` any more. */
export class Roster {
  readonly #clients = new Set<string>();
  readonly #wanted: (client: string) => boolean;
  readonly #prune: () => void;

  constructor(wanted: (client: string) => boolean) {
    this.#wanted = wanted;
    this.#prune = pruner(
      () => this.#clients.keys(),
      wanted,
      (client) => this.#clients.delete(client),
    );
  }

  get size(): number {
    return this.#clients.size;
  }

  add(client: string): void {
    if (this.#clients.has(client)) return;
    this.#clients.add(client);
    this.#prune();
  }

  delete(client: string): void {
    this.#clients.delete(client);
  }

  /** Takes up to `count` out; those who are not wanted go with them. */
  take(count: number): string[] {
    const taken: string[] = [];
    for (const client of this.#clients) {
      this.#clients.delete(client);
      if (this.#wanted(client)) taken.push(client);
      if (taken.length === count) break;
    }
    return taken;
  }

  clear(): void {
    this.#clients.clear();
  }
}

/** The keys of a map, part by part. */
export function* keysOf(map: WideMap<unknown>): Generator<string> {
  for (let part = 0; part < PARTS; part++) yield* map.keysOf(part);
}
