import type { Clock } from './link.ts';
import { Roster } from './prune.ts';

/** Keys are prolonged this long after their clients were here, those of many clients together. */
const FLUSH_MS = 2_000;

export type LivesParts = {
  readonly clock: Clock;
  readonly expireMs: () => number;
  /** Undefined for a client that has no binding here. */
  readonly isOpen: (client: string) => boolean | undefined;
  /** Whether anything can be prolonged now. */
  readonly isUp: () => boolean;
  /** Prolongs the lives of the keys of some clients, at once. */
  readonly prolong: (clients: readonly string[]) => Promise<void>;
  /** Most clients at once. */
  readonly batch: number;
};

/**
 * Sees to it that the key of a client lives as long as the client's binding here: from each time that the client was
 * here, and for as long as it has a connection open. Nothing is written for one connection, and nothing while nobody
 * comes or stays.
 */
export class Lives {
  readonly #parts: LivesParts;
  /** Clients that were here since the last flush. */
  readonly #used: Roster;
  /** Clients that were open at a flush. */
  #open = new Set<string>();
  #flush: (() => void) | undefined;
  #again: (() => void) | undefined;
  #closed = false;

  constructor(parts: LivesParts) {
    this.#parts = parts;
    this.#used = new Roster((client) => parts.isOpen(client) !== undefined);
  }

  /** A client is here, or was until now. */
  use(client: string): void {
    if (this.#closed) return;
    this.#used.add(client);
    const { clock, expireMs } = this.#parts;
    this.#flush ??= clock.after(Math.min(FLUSH_MS, expireMs() / 3), () => {
      this.#flush = undefined;
      void this.flush();
    });
  }

  async flush(): Promise<void> {
    const { isOpen, isUp, prolong, batch } = this.#parts;
    while (isUp() && this.#used.size > 0) {
      const clients = this.#used.take(batch);
      for (const client of clients) if (isOpen(client) === true) this.#stays(client);
      if (clients.length > 0) await prolong(clients);
    }
  }

  /** A flush of all who are open, too. */
  async all(): Promise<void> {
    for (const client of this.#open) this.#used.add(client);
    await this.flush();
  }

  forget(): void {
    this.#used.clear();
    this.#open.clear();
  }

  close(): void {
    this.#closed = true;
    this.#flush?.();
    this.#again?.();
  }

  #stays(client: string): void {
    this.#open.add(client);
    const { clock, expireMs, isOpen } = this.#parts;
    this.#again ??= clock.after(expireMs() / 3, () => {
      this.#again = undefined;
      const before = this.#open;
      this.#open = new Set();
      for (const one of before) if (isOpen(one) === true) this.use(one);
    });
  }
}
