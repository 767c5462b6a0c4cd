import { grown } from './policies.ts';

type Configured = { readonly weight: number; readonly slowStart: number };

/** A server's share of new clients: as configured or as the operator wants it instead, and less after a recovery. */
export class Weight {
  /** What the operator wants, and the configured weight that it stands in for. */
  #own: { readonly weight: number; readonly instead: number } | undefined;
  /** When the server came up again, on the clock of `performance.now`; undefined if it has been up since the start. */
  #recoveredMs: number | undefined;

  /** What the operator wants; undefined where that is what is configured. */
  own({ weight }: Configured): number | undefined {
    return this.#own?.instead === weight ? this.#own.weight : undefined;
  }

  /** The share now: after a recovery it grows to the whole over `slowStart`. */
  now(configured: Configured): number {
    const whole = this.own(configured) ?? configured.weight;
    if (this.#recoveredMs === undefined) return whole;
    return grown(whole, configured.slowStart, performance.now() - this.#recoveredMs);
  }

  /** Holds until another weight is configured. Returns what was wanted before. */
  set(weight: number, configured: Configured): number {
    const before = this.own(configured) ?? configured.weight;
    this.#own = weight === configured.weight ? undefined : { weight, instead: configured.weight };
    return before;
  }

  /** Another configuration is in force. */
  change(configured: Configured): void {
    if (this.own(configured) === undefined) this.#own = undefined;
  }

  /** The server comes up again, or begins as if it had always been up. */
  recovered(again: boolean): void {
    this.#recoveredMs = again ? performance.now() : undefined;
  }
}
