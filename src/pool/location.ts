import type { Endpoint } from '../config/values.ts';
import { NameWatch, type Resolution, type Lookup } from './resolve.ts';

/**
 * What an answer means for the server: it can be reached now, at another place than before where `moved`; or it cannot.
 */
export type Arrival =
  { readonly kind: 'found'; readonly moved: boolean } | { readonly kind: 'lost'; readonly failure: string };

/**
 * Where a server is: the addresses of its name, and the one among them that is in use. After a change of the name or
 * the port it stays at the former address until the new one is known. Once it is found, the last good answer stays in
 * force: a resolver that is away takes no server down.
 */
export class Location {
  readonly #onArrival: (arrival: Arrival) => void;
  readonly #lookup: Lookup | undefined;
  #watch: NameWatch | undefined;
  /** Whether what follows is of the name and port that are watched; until then it is of the former ones. */
  #arrived = false;
  #addresses: readonly string[] = [];
  #address: string | undefined;
  #port = 0;

  /** `onArrival` is called for the first answer after each `find`, and until one is good. */
  constructor(onArrival: (arrival: Arrival) => void, lookup: Lookup | undefined) {
    this.#onArrival = onArrival;
    this.#lookup = lookup;
  }

  /** The IP literal and port in use; undefined until the name has resolved. */
  get endpoint(): Endpoint | undefined {
    return this.#address === undefined ? undefined : { host: this.#address, port: this.#port };
  }

  /** Whether the endpoint is of this server, in use or not. */
  has({ host, port }: Endpoint): boolean {
    return port === this.#port && this.#addresses.includes(host);
  }

  /** Looks for another endpoint. Resolves when the first answer is there. */
  find(endpoint: Endpoint, intervalMs: number): Promise<void> {
    this.#arrived = false;
    return this.retime(endpoint, intervalMs);
  }

  /** Looks for the same endpoint, with another time between two questions. */
  retime({ host, port }: Endpoint, intervalMs: number): Promise<void> {
    this.#watch?.close();
    this.#watch = new NameWatch(host, intervalMs, (answer) => this.#take(answer, port), this.#lookup);
    return this.#watch.start();
  }

  /** A name with several addresses goes on to the next where one fails. */
  leave(host: string): void {
    if (host !== this.#address || this.#addresses.length < 2) return;
    this.#address = this.#addresses[(this.#addresses.indexOf(host) + 1) % this.#addresses.length];
  }

  /** Nothing is known of it any more. */
  forget(): void {
    this.#addresses = [];
    this.#address = undefined;
  }

  /** Asks nothing any more; it stays where it is. */
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
    // Stays where it is while that is still an answer: a client's pushes belong on one node.
    if (first || !answer.addresses.includes(this.#address ?? '')) this.#address = answer.addresses[0];
    if (first) this.#onArrival({ kind: 'found', moved });
  }
}
