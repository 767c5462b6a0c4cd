/** With fewer connections than this one client may well have more than half of them. */
const BUSY_CONNECTIONS = 100;

/** A client with its connections, `of` as many as there are. */
export type Majority = { readonly client: string; readonly connections: number; readonly of: number };

/** An entry of the stick table, as it is now. */
type Client = { readonly client: string; readonly connections: number; readonly server: object | undefined };

/** Watches for the one client that has more than half of all connections: perhaps it is many, behind a NAT. */
export class Crowd {
  #connections = 0;
  /** The client that last had more than half, whether it still has or not. */
  #largest: Client | undefined;
  /** For each server, the client bound to it that had most connections when it last came. */
  readonly #busiest = new WeakMap<object, Client>();

  /** A connection more, of this client. */
  open(client: Client): void {
    this.#connections++;
    if (client.connections * 2 > this.#connections) this.#largest = client;
    const { server } = client;
    if (server && client.connections > this.busiest(server)) this.#busiest.set(server, client);
  }

  /** Open connections of the busiest client of a server, to whichever server they go: it may just have been moved. */
  busiest(server: object): number {
    const client = this.#busiest.get(server);
    return client?.server === server ? client.connections : 0;
  }

  /** A connection less. A client that has more than half only now is seen with its next connection. */
  close(): void {
    this.#connections--;
  }

  /** Undefined where there is none, or where too few are connected to tell. */
  get now(): Majority | undefined {
    const [largest, of] = [this.#largest, this.#connections];
    if (!largest || of < BUSY_CONNECTIONS || largest.connections * 2 <= of) return undefined;
    return { client: largest.client, connections: largest.connections, of };
  }
}
