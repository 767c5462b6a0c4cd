/** How a wait for a slot ended: with one, with the word to choose a server anew, or because the waiter gave up. */
export type Wait = 'granted' | 'moved' | 'left';

/** A server's places for connections, and the queue for them: first come, first served. */
export class Slots {
  #taken = 0;
  readonly #waiting = new Set<(outcome: Wait) => void>();

  /** Connections that have a place. */
  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether a new connection would not have to wait; `most` 0 is no limit. */
  free(most: number): boolean {
    return most === 0 || (this.#taken < most && this.#waiting.size === 0);
  }

  take(): void {
    this.#taken++;
  }

  /** Waits for a place, which is taken when the outcome is 'granted'. `leave` gives up, whenever it comes. */
  queue(): { readonly outcome: Promise<Wait>; leave(): void } {
    let settle!: (outcome: Wait) => void;
    const outcome = new Promise<Wait>((resolve) => {
      settle = (how) => {
        if (this.#waiting.delete(settle)) resolve(how);
      };
    });
    this.#waiting.add(settle);
    return { outcome, leave: () => settle('left') };
  }

  /** A connection has given its place up: the one that has waited longest gets it, unless there are fewer places by now. */
  release(most: number): void {
    this.#taken--;
    this.grant(most);
  }

  /** Lets in whoever fits: after a release, or after the limit has been raised. */
  grant(most: number): void {
    for (const settle of this.#waiting) {
      if (most > 0 && this.#taken >= most) return;
      this.#taken++;
      settle('granted');
    }
  }

  /** The server takes nobody any more: all who wait choose anew. */
  move(): void {
    for (const settle of this.#waiting) settle('moved');
  }
}
