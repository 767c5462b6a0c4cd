import type { Timeouts } from './config/schema.ts';

/** The time between two sweeps; a short timeout makes it shorter. */
const SWEEP_MS = 1_000;

/** Has what stands looked over again and again: what is idle, and what is counted. */
export class Sweep {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  #everyMs = 0;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Leaves a timer alone whose interval stays: reloads that come sooner than the timer would keep it from firing. */
  under({ idle, halfClosed }: Timeouts): void {
    const everyMs = Math.min(SWEEP_MS, Math.max(10, Math.min(idle, halfClosed) / 4));
    if (this.#timer && everyMs === this.#everyMs) return;
    clearInterval(this.#timer);
    this.#everyMs = everyMs;
    this.#timer = setInterval(this.#look, everyMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
