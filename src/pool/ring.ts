/** The last things of many: a new one takes the place of the oldest. It takes memory as it fills. */
export class Ring<T> {
  readonly #size: number;
  readonly #items: T[] = [];
  #next = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(item: T): void {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % this.#size;
  }

  /** The latest first. */
  *latest(): Generator<T> {
    const { length } = this.#items;
    for (let back = 1; back <= length; back++) yield this.#items[(this.#next - back + length) % length] as T;
  }
}
