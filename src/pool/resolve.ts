import { isIP } from 'node:net';
import { lookUp } from '../names/look-up.ts';

/** Resolves a name to at least one address, or rejects with an error that says why; at once if `closed` is aborted. */
export type Lookup = (name: string, closed?: AbortSignal) => Promise<readonly string[]>;

/** What one look-up of a name came to; `failure` says in words why there is no address. */
export type Resolution = { readonly addresses: readonly string[] } | { readonly failure: string };

/** After a failure the name is looked up again this much later, or after the interval where the interval is shorter. */
const RETRY_MS = 2_000;

/**
 * The reason of an abort whose signal is kept, as a server that has left keeps its watch: the DOMException that stands
 * there without a reason keeps its stack, and whatever closed the watch, such as a commit with all its listeners.
 */
export const UNWANTED = 'no longer wanted';

/** The addresses that this machine knows of a name. @see lookUp */
export const systemLookup: Lookup = async (name, closed) => (await lookUp(name, closed)).addresses;

/**
 * Looks a name up again and again, `intervalMs` after the end of the look-up before, and reports each resolution. An IP
 * literal is reported once, as its own address.
 */
export class NameWatch {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #report: (resolution: Resolution) => void;
  readonly #lookup: Lookup;
  #timer: NodeJS.Timeout | undefined;
  /** The next look-up comes as soon as it may. */
  #hurried = false;
  readonly #closed = new AbortController();

  constructor(
    name: string,
    intervalMs: number,
    report: (resolution: Resolution) => void,
    lookup: Lookup = systemLookup,
  ) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#report = report;
    this.#lookup = lookup;
  }

  /** Resolves when the first resolution, good or bad, has been reported. Never rejects. */
  async start(): Promise<void> {
    if (isIP(this.#name) === 0) return this.#resolve();
    this.#report({ addresses: [this.#name] });
  }

  /** The address does not work, and the name may have another by now: the next look-up comes as after a failure. */
  hurry(): void {
    if (!this.#timer || this.#hurried) return;
    this.#hurried = true;
    clearTimeout(this.#timer);
    this.#askAgainIn(Math.min(RETRY_MS, this.#intervalMs));
  }

  /** Ends the look-up under way, and reports nothing from now on. */
  close(): void {
    this.#closed.abort(UNWANTED);
    clearTimeout(this.#timer);
  }

  async #resolve(): Promise<void> {
    const resolution = await this.#lookup(this.#name, this.#closed.signal).then(
      (addresses): Resolution => ({ addresses }),
      ({ message }: Error): Resolution => ({ failure: message }),
    );
    if (this.#closed.signal.aborted) return;
    this.#report(resolution);
    const waitMs = 'failure' in resolution ? Math.min(RETRY_MS, this.#intervalMs) : this.#intervalMs;
    this.#hurried = waitMs <= RETRY_MS;
    this.#askAgainIn(waitMs);
  }

  #askAgainIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#resolve();
    }, ms);
  }
}
