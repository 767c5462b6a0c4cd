import type { Socket } from 'node:net';
import { normaliseAddress } from '../pool/client-key.ts';
import type { Server } from '../pool/server.ts';
import { Access } from './admission/access.ts';
import { Connection, type Surroundings } from './connection.ts';
import type { Refusal } from './observer.ts';
import { formatAddress } from './record.ts';
import { reset } from './relay/sockets.ts';
import { mustAdvertise, type Terms } from './terms.ts';

/**
 * In all frontends together: the connections that stand now, with those that wait for a commit, and the number of the
 * latest one that a frontend has taken.
 */
export type Occupancy = { connections: number; latest: number };

export type FrontendParts = Omit<Surroundings, 'frontend' | 'access'> & { readonly occupancy: Occupancy };

/**
 * Where clients arrive: makes a connection of each that is let in, under the terms in force, and knows those that
 * stand.
 */
export class Frontend {
  readonly name: string;
  readonly #occupancy: Occupancy;
  readonly #around: Surroundings;
  /** By their numbers, the oldest first. */
  readonly #connections = new Map<number, Connection>();
  #terms: Terms | undefined;
  #accepted = 0;
  #onEmpty: (() => void) | undefined;

  constructor(name: string, { occupancy, ...around }: FrontendParts) {
    this.name = name;
    this.#occupancy = occupancy;
    this.#around = { ...around, frontend: name, access: new Access() };
  }

  /** Connections that stand. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Those that stand, the oldest first. */
  get standing(): Iterable<Connection> {
    return this.#connections.values();
  }

  /** The connection of this number that stands. */
  connection(id: number): Connection | undefined {
    return this.#connections.get(id);
  }

  /** Connections that have come since the start, refused connections included. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections that come from now on are served under `terms`. */
  serve(terms: Terms): void {
    this.#terms = terms;
  }

  /** Takes a connection from a listener, paused; `unix` says that its client has no address. */
  accept(socket: Socket, unix: boolean): void {
    this.#accepted++;
    const address = socket.remoteAddress;
    const terms = this.#terms;
    if (!terms || (address === undefined && !unix)) {
      // The client reset before the accept: nobody is there, and undefined must not become a key.
      socket.on('error', () => {}).destroy();
      return;
    }
    const peer = unix ? undefined : { address: normaliseAddress(address ?? ''), port: socket.remotePort ?? 0 };
    const refusal = this.#refusal(terms);
    if (refusal) {
      this.#around.observer.refused(this.name, refusal, formatAddress(peer));
      reset(socket.on('error', () => {}));
      return;
    }
    void this.#run(new Connection(++this.#occupancy.latest, socket, peer, terms, this.#around));
  }

  /** Whether a connection from `address` would be let in now, for those who ask: nothing is counted. */
  judge(address: string): { readonly refusal: Refusal | undefined; readonly mustAdvertise: boolean } | undefined {
    const terms = this.#terms;
    if (!terms) return undefined;
    const refusal = this.#refusal(terms) ?? this.#around.access.judge(terms.access, address);
    return { refusal, mustAdvertise: mustAdvertise(terms, address) };
  }

  /** Resolves when no connection stands any more. */
  async empty(): Promise<void> {
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  killAll(): void {
    for (const connection of this.#connections.values()) connection.kill('K');
  }

  /** Ends the connections of a server that was marked down. */
  killOf(server: Server): void {
    for (const connection of this.#connections.values()) if (connection.server === server) connection.kill('D');
  }

  /** To be called about once a second; `nowMs` is `performance.now()`. */
  sweep(nowMs: number): void {
    for (const connection of this.#connections.values()) connection.sweep(nowMs);
  }

  #refusal({ capacity, config: { maxConnections: most } }: Terms): Refusal | undefined {
    if (this.#occupancy.connections >= capacity) return 'open_files';
    return most > 0 && this.#connections.size >= most ? 'max_connections' : undefined;
  }

  async #run(connection: Connection): Promise<void> {
    this.#connections.set(connection.id, connection);
    this.#occupancy.connections++;
    try {
      await connection.run();
    } finally {
      this.#occupancy.connections--;
      this.#connections.delete(connection.id);
      if (this.#connections.size === 0) this.#onEmpty?.();
    }
  }
}
