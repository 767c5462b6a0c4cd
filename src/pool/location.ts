import type { Endpoint } from '../config/values.ts';
import { lookedUp, type Failing } from './named.ts';
import { NameWatch, type Resolution, type Lookup } from './resolve.ts';

/**
 * What an answer means for the server: the server can be reached now (`moved`: at another endpoint than before), or the
 * name does not resolve.
 */
export type Arrival =
  { readonly kind: 'found'; readonly moved: boolean } | { readonly kind: 'lost'; readonly failure: string };

/**
 * Where a server is: the addresses of its name, and the one among them that is in use. After a change of the name or
 * the port the server stays at the former address until the new address is known. After that the last good answer stays
 * in force: a resolver that is away takes no server down.
 */
export class Location {
  readonly #onArrival: (arrival: Arrival) => void;
  readonly #onAnswer: () => void;
  readonly #lookup: Lookup | undefined;
  #watch: NameWatch | undefined;
  /** Whether the addresses below are of the name and port that are watched now, not of the former ones. */
  #arrived = false;
  #addresses: readonly string[] = [];
  #address: string | undefined;
  #port = 0;
  #failing: Failing | undefined;

  /**
   * `onArrival` is called for each answer after a `find`, up to the first good answer, and `onAnswer` after every
   * answer.
   */
  constructor(onArrival: (arrival: Arrival) => void, lookup?: Lookup, onAnswer: () => void = () => {}) {
    this.#onArrival = onArrival;
    this.#onAnswer = onAnswer;
    this.#lookup = lookup;
  }

  /** The IP literal and port in use; undefined until the name has resolved. */
  get endpoint(): Endpoint | undefined {
    return this.#address === undefined ? undefined : { host: this.#address, port: this.#port };
  }

  /** Why the last look-up of the name failed. */
  get failing(): Failing | undefined {
    return this.#failing;
  }

  /** Whether the endpoint is of this server, in use or not. */
  has({ host, port }: Endpoint): boolean {
    return port === this.#port && this.#addresses.includes(host);
  }

  /** Looks for another endpoint. Resolves when the first answer is there. */
  find(endpoint: Endpoint, intervalMs: number): Promise<void> {
    this.#arrived = false;
    this.#failing = undefined;
    return this.retime(endpoint, intervalMs);
  }

  /** Looks for the same endpoint, with another time between two questions. */
  retime({ host, port }: Endpoint, intervalMs: number): Promise<void> {
    this.#watch?.close();
    const heard = (answer: Resolution): void => {
      this.#failing = lookedUp(this.#failing, 'failure' in answer ? answer.failure : undefined);
      this.#take(answer, port);
      this.#onAnswer();
    };
    this.#watch = new NameWatch(host, intervalMs, heard, this.#lookup);
    return this.#watch.start();
  }

  /** A name with several addresses goes on to the next where one fails, and any name is soon asked for again. */
  leave(host: string): void {
    if (host !== this.#address) return;
    this.#watch?.hurry();
    if (this.#addresses.length < 2) return;
    this.#address = this.#addresses[(this.#addresses.indexOf(host) + 1) % this.#addresses.length];
  }

  /** Forgets every address. */
  forget(): void {
    this.#addresses = [];
    this.#address = undefined;
  }

  /** Asks nothing any more; the endpoint stays. */
  close(): void {
    this.#watch?.close();
  }

  #take(answer: Resolution, port: number): void {
    const first = !this.#arrived;
    if ('failure' in answer) {
      if (!first) return;
      this.#address = undefined;
      return this.#onArrival({ kind: 'lost', failure: answer.failure });
    }
    const moved = first && this.#address !== undefined;
    this.#arrived = true;
    this.#port = port;
    this.#addresses = answer.addresses;
    // The address in use stays while it is among the answers: a client's pushes belong on one node.
    if (first || !answer.addresses.includes(this.#address ?? '')) this.#address = answer.addresses[0];
    if (first) this.#onArrival({ kind: 'found', moved });
  }
}
