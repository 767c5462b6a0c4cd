/** The time in which what was counted loses most of its weight: averages are of about the last ten seconds. */
const FADES_MS = 5_000;
/** Two looks within this are one: a quotient of hardly any time says nothing. */
const SHORTEST_MS = 50;

/**
 * How fast a count grows, as an average of about the last ten seconds. Whoever owns the count says it now and then; the
 * rate takes no timer. Samples fade exponentially, so a rate is three numbers however long it runs, and young rates are
 * plain averages.
 */
export class Rate {
  #total: number;
  #atMs: number;
  #perMs = 0;
  /** How much of an average there is: near 0 at first, by and by 1. */
  #weight = 0;

  /** `total` is what is counted at `nowMs`, on a monotonic clock. */
  constructor(total: number, nowMs: number) {
    this.#total = total;
    this.#atMs = nowMs;
  }

  /** The average until the last look. */
  get perSecond(): number {
    return this.#weight === 0 ? 0 : (this.#perMs / this.#weight) * 1_000;
  }

  /** Another look: it is `total` by now. */
  look(total: number, nowMs: number): void {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs < SHORTEST_MS) return;
    const kept = Math.exp(-elapsedMs / FADES_MS);
    this.#perMs = this.#perMs * kept + ((total - this.#total) / elapsedMs) * (1 - kept);
    this.#weight = this.#weight * kept + (1 - kept);
    this.#total = total;
    this.#atMs = nowMs;
  }
}
