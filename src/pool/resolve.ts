import { lookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';

/** Resolves a name to at least one address, or rejects with a `code`. */
export type Lookup = (name: string) => Promise<readonly string[]>;

export type Resolution = { readonly addresses: readonly string[] } | { readonly failure: string };

/** A name that did not resolve is asked for again after this, or after the interval where that is shorter. */
const RETRY_MS = 2_000;

/** What the system's resolver says; IPv4 first, because container networks announce IPv6 addresses nobody listens on. */
export async function systemLookup(name: string): Promise<readonly string[]> {
  const addresses = (await lookup(name, { all: true })).map(({ address }) => address);
  return [...addresses.filter(isIPv4), ...addresses.filter((address) => !isIPv4(address))];
}

/** Keeps asking for the addresses of a name and reports each answer. An IP literal answers once, for itself. */
export class NameWatch {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #onAnswer: (answer: Resolution) => void;
  readonly #lookup: Lookup;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(name: string, intervalMs: number, onAnswer: (answer: Resolution) => void, ask: Lookup = systemLookup) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#onAnswer = onAnswer;
    this.#lookup = ask;
  }

  /** Resolves after the first answer, good or bad. */
  async start(): Promise<void> {
    if (isIP(this.#name) === 0) return this.#ask();
    this.#onAnswer({ addresses: [this.#name] });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    const answer = await this.#lookup(this.#name).then(
      (addresses): Resolution => ({ addresses }),
      ({ code, message }: NodeJS.ErrnoException): Resolution => ({ failure: code ?? message }),
    );
    if (this.#closed) return;
    this.#onAnswer(answer);
    const wait = 'failure' in answer ? Math.min(RETRY_MS, this.#intervalMs) : this.#intervalMs;
    this.#timer = setTimeout(() => void this.#ask(), wait);
  }
}
