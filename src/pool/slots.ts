/** How a wait ended: the waiter has a place, must choose another server, or has given up. */
export type Wait = 'granted' | 'moved' | 'left';

/**
 * A server's places for connections, and the queue for them: first come, first served. `most`, wherever it is a
 * parameter, is how many places there are now; 0 is no limit.
 */
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

  /** Whether a new connection would get a place without a wait. */
  free(most: number): boolean {
    return most === 0 || (this.#taken < most && this.#waiting.size === 0);
  }

  take(): void {
    this.#taken++;
  }

  /**
   * Waits for a place; with 'granted' the place is taken already. `leave` ends the wait with 'left', and does nothing
   * where the wait has ended.
   */
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

  /** A connection gives up its place. Whoever has waited longest gets a place, unless there are fewer places by now. */
  release(most: number): void {
    this.#taken--;
    this.grant(most);
  }

  /** Grants all free places, those first that have waited longest: after a release, or after `most` has been raised. */
  grant(most: number): void {
    for (const settle of this.#waiting) {
      if (most > 0 && this.#taken >= most) return;
      this.#taken++;
      settle('granted');
    }
  }

  /** The server takes no connection any more: every wait ends with 'moved'. */
  move(): void {
    for (const settle of this.#waiting) settle('moved');
  }
}
