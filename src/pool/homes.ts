import { WideMap } from './wide-map.ts';

/** The first server of each client that was moved from it, where anybody wants to know. */
export class Homes<S> {
  #first: WideMap<S> | undefined;

  constructor(wanted: boolean) {
    this.keep(wanted);
  }

  /** Knows homes from now on, or none. */
  keep(wanted: boolean): void {
    this.#first = wanted ? (this.#first ?? new WideMap<S>()) : undefined;
  }

  get wanted(): boolean {
    return this.#first !== undefined;
  }

  of(client: string): S | undefined {
    return this.#first?.get(client);
  }

  set(client: string, home: S): void {
    this.#first?.set(client, home);
  }

  /** The client goes from one server to another; whoever is at home again has no home elsewhere. */
  moved(client: string, from: S, to: S): void {
    if (to === this.of(client)) this.forget(client);
    else if (this.of(client) === undefined) this.set(client, from);
  }

  forget(client: string): void {
    this.#first?.delete(client);
  }
}
