/** A server's places for connections, and how many connections wait for this server alone (`Queue` knows who). */
export class Slots {
  waiting = 0;
  #taken = 0;

  /** Connections that have a place. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether there is a place where there are `most` places in all; 0 is no limit. */
  free(most: number): boolean {
    return most === 0 || this.#taken < most;
  }

  take(): void {
    this.#taken++;
  }

  release(): void {
    this.#taken--;
  }
}
