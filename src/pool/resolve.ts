import { lookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';

/** Resolves a name to at least one address, or rejects with a `code`. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** What one look-up of a name came to; `failure` is the code of the error, such as ENOTFOUND. */
export type Resolution = { readonly addresses: readonly string[] } | { readonly failure: string };

/** After a failure the name is looked up again this much later, or after the interval where the interval is shorter. */
const RETRY_MS = 2_000;

/**
 * The addresses that the system's resolver (with /etc/hosts) knows. IPv4 comes first, because container networks
 * announce IPv6 addresses on which nobody listens. Rejects with a `code`.
 */
export async function systemLookup(name: string): Promise<readonly string[]> {
  const addresses = (await lookup(name, { all: true })).map(({ address }) => address);
  return [...addresses.filter(isIPv4), ...addresses.filter((address) => !isIPv4(address))];
}

/**
 * Looks a name up again and again, `intervalMs` after the end of the look-up before, and reports each resolution. An IP
 * literal is reported once, as its own address.
 */
export class NameWatch {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #report: (resolution: Resolution) => void;
  readonly #lookUp: Lookup;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    name: string,
    intervalMs: number,
    report: (resolution: Resolution) => void,
    lookUp: Lookup = systemLookup,
  ) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#report = report;
    this.#lookUp = lookUp;
  }

  /** Resolves when the first resolution, good or bad, has been reported. Never rejects. */
  async start(): Promise<void> {
    if (isIP(this.#name) === 0) return this.#resolve();
    this.#report({ addresses: [this.#name] });
  }

  /** Reports nothing from now on, not even the look-up under way. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #resolve(): Promise<void> {
    const resolution = await this.#lookUp(this.#name).then(
      (addresses): Resolution => ({ addresses }),
      ({ code, message }: NodeJS.ErrnoException): Resolution => ({ failure: code ?? message }),
    );
    if (this.#closed) return;
    this.#report(resolution);
    const waitMs = 'failure' in resolution ? Math.min(RETRY_MS, this.#intervalMs) : this.#intervalMs;
    this.#timer = setTimeout(() => void this.#resolve(), waitMs);
  }
}
