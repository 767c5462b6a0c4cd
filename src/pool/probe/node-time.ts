/** The time that a node may take for its answers. It stands still while the check waits for somebody else. */
export class NodeTime {
  readonly ended: AbortSignal | undefined;
  #leftMs: number;
  #sinceMs = 0;
  #signal: AbortSignal | undefined;

  /** It runs from the first use of `signal`. `ended` ends it early. */
  constructor(withinMs: number, ended: AbortSignal | undefined) {
    this.#leftMs = withinMs;
    this.ended = ended;
  }

  /** Aborts when the node's time is over, or the check has ended. */
  get signal(): AbortSignal {
    if (this.#signal) return this.#signal;
    this.#sinceMs = performance.now();
    const timeout = AbortSignal.timeout(Math.max(Math.ceil(this.#leftMs), 0));
    return (this.#signal = this.ended ? AbortSignal.any([timeout, this.ended]) : timeout);
  }

  /** Waits for what is not the node's to answer. */
  async standStill<T>(wait: Promise<T>): Promise<T> {
    if (this.#signal) this.#leftMs -= performance.now() - this.#sinceMs;
    try {
      return await wait;
    } finally {
      this.#signal = undefined;
    }
  }
}
