/** Items that are put in order at once: less than a millisecond of work. */
const MORE = 2_000;

type Valued<T> = { readonly item: T; readonly value: number };

/** The `most` items of the largest values among all that are added. What one costs depends on `most` alone. */
export class Largest<T> {
  /** How many were added. */
  count = 0;
  readonly #most: number;
  /** In order, the largest first. */
  #best: readonly Valued<T>[] = [];
  #more: Valued<T>[] = [];
  /** What an item has to exceed once there are as many as are wanted. */
  #least = -Infinity;

  constructor(most: number) {
    this.#most = most;
  }

  add(item: T, value: number): void {
    this.count++;
    if (value <= this.#least) return;
    this.#more.push({ item, value });
    if (this.#more.length >= MORE) this.#merge();
  }

  /** The largest first; of equal ones whoever came first. */
  get items(): T[] {
    this.#merge();
    return this.#best.map(({ item }) => item);
  }

  #merge(): void {
    const [best, more] = [this.#best, this.#more.toSorted((a, b) => b.value - a.value)];
    const merged: Valued<T>[] = [];
    for (let [left, right] = [0, 0]; merged.length < this.#most;) {
      const [one, other] = [best[left], more[right]];
      const next = one && (!other || one.value >= other.value) ? one : other;
      if (!next) break;
      if (next === one) left++;
      else right++;
      merged.push(next);
    }
    [this.#best, this.#more] = [merged, []];
    if (merged.length >= this.#most) this.#least = merged.at(-1)?.value ?? -Infinity;
  }
}
