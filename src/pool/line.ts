/** Those who wait in one line, the lowest ticket first. */
export class Line<W extends { readonly ticket: number }> {
  readonly #waiters: W[] = [];

  get size(): number {
    return this.#waiters.length;
  }

  get first(): W | undefined {
    return this.#waiters[0];
  }

  /** A waiter who comes from another line takes the place that its ticket gives it. */
  add(waiter: W): void {
    this.#waiters.splice(this.#placeOf(waiter), 0, waiter);
  }

  delete(waiter: W): void {
    const place = this.#placeOf(waiter);
    if (this.#waiters[place] === waiter) this.#waiters.splice(place, 1);
  }

  [Symbol.iterator](): Iterator<W> {
    return this.#waiters.values();
  }

  /** How many have a lower ticket. */
  #placeOf({ ticket }: W): number {
    let [low, high] = [0, this.#waiters.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#waiters[middle]?.ticket ?? Infinity) < ticket) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
