/** How many clients are bound: to each server, and in all. */
export class Tally<S extends object> {
  total = 0;
  readonly #of = new Map<S, number>();

  of(server: S): number {
    return this.#of.get(server) ?? 0;
  }

  count(server: S, by: number): void {
    this.total += by;
    const now = this.of(server) + by;
    if (now > 0) this.#of.set(server, now);
    else this.#of.delete(server);
  }
}
