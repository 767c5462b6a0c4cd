import { createServer, type Server as Listener, type Socket } from 'node:net';
import type { FrontendConfig, Timeouts } from '../config/schema.ts';
import { bindKey, type Bind } from '../config/values.ts';
import { listeningAddress, type Listeners } from '../listen.ts';
import { normaliseAddress } from '../pool/client-key.ts';
import type { Server } from '../pool/server.ts';
import { Admission, type Refusal, type Routes } from './admission.ts';
import { Connection, formatAddress, type Surroundings } from './connection.ts';
import { reset } from './sockets.ts';

/** Connections that may stand at one time, in all frontends together. */
export type Capacity = { most: number; open: number };

export type FrontendParts = Omit<Surroundings, 'frontend' | 'admission'> & {
  readonly name: string;
  readonly config: FrontendConfig;
  readonly routes: Routes;
  readonly capacity: Capacity;
  readonly listeners: Listeners;
  /** Gives a listening descriptor that this process was started with, if there is one for the frontend. */
  readonly inherited: (frontend: string) => number | undefined;
};

/** Listeners for a configuration that is not in force yet, by the key of their bind. */
export type Opened = {
  readonly fresh: ReadonlyMap<string, Listener>;
  /** Those that another frontend gives up. */
  readonly taken: ReadonlyMap<string, Frontend>;
};

/** Where clients arrive: the listening sockets, what is admitted, and the connections that stand. */
export class Frontend {
  readonly name: string;
  #config: FrontendConfig;
  readonly #capacity: Capacity;
  readonly #inherited: FrontendParts['inherited'];
  readonly #doors: Listeners;
  #around: Surroundings;
  readonly #connections = new Set<Connection>();
  /** By the key of their bind. */
  readonly #listeners = new Map<string, Listener>();
  #accepted = 0;
  #onEmpty: (() => void) | undefined;

  constructor({ name, config, capacity, routes, inherited, listeners, ...around }: FrontendParts) {
    this.name = name;
    this.#config = config;
    this.#capacity = capacity;
    this.#inherited = inherited;
    this.#doors = listeners;
    this.#around = { ...around, frontend: name, admission: new Admission(config, routes) };
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Connections that have come since the start, refused ones included. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Where it listens. */
  get addresses(): string[] {
    return [...this.#listeners.values()].map(listeningAddress);
  }

  /** The keys of the binds that it listens on. */
  get binds(): string[] {
    return [...this.#listeners.keys()];
  }

  /**
   * Opens the binds that are not open yet, for `use` or `discard`, but for those that another frontend gives up: they are
   * taken out of `leaving`. Rejects with a StartError, and then has opened none.
   */
  async open(binds: readonly Bind[], leaving: Map<string, Frontend>): Promise<Opened> {
    const [fresh, taken] = [new Map<string, Listener>(), new Map<string, Frontend>()];
    for (const bind of binds) {
      const key = bindKey(bind);
      if (this.#listeners.has(key)) continue;
      const owner = leaving.get(key);
      if (owner) {
        leaving.delete(key);
        taken.set(key, owner);
        continue;
      }
      const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
      this.#serveAt(listener, key);
      try {
        await this.#doors.listen(listener, bind, `frontend ${this.name}`, this.#inherited(this.name));
      } catch (error) {
        discard({ fresh, taken });
        throw error;
      }
      fresh.set(key, listener);
    }
    return { fresh, taken };
  }

  /** Makes listeners its own. */
  use({ fresh, taken }: Opened): void {
    for (const [key, listener] of fresh) this.#listeners.set(key, listener);
    for (const [key, owner] of taken) {
      const listener = owner.#listeners.get(key);
      if (!listener) continue;
      owner.#listeners.delete(key);
      listener.removeAllListeners('connection');
      this.#serveAt(listener, key);
      this.#listeners.set(key, listener);
    }
  }

  /** Goes on under another configuration; the listeners that it does not name are closed, connections stay. */
  async apply(config: FrontendConfig, routes: Routes, timeouts: Timeouts): Promise<void> {
    this.#config = config;
    this.#around.admission.apply(config, routes);
    this.#around = { ...this.#around, timeouts };
    const named = new Set(config.bind.map(bindKey));
    await this.#closeListeners(this.binds.filter((key) => !named.has(key)));
  }

  /** Takes what the kernel has accepted already, then listens no more. */
  async stopAccepting(): Promise<void> {
    await this.#closeListeners(this.binds);
  }

  /** Resolves when no connection stands any more. */
  async empty(): Promise<void> {
    if (this.#connections.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  killAll(): void {
    for (const connection of this.#connections) connection.kill('K');
  }

  /** Ends the connections of a server that was marked down. */
  killOf(server: Server): void {
    for (const connection of this.#connections) if (connection.server === server) connection.kill('D');
  }

  sweep(nowMs: number): void {
    for (const connection of this.#connections) connection.sweep(nowMs);
  }

  /**
   * Closing a listener resets what is still in its backlog. One connection is taken a turn of the loop, so the backlog is
   * empty when turns pass without one; the bound is for clients that never stop coming.
   */
  async #closeListeners(keys: readonly string[]): Promise<void> {
    const deadlineMs = performance.now() + 1_000;
    let seen = keys.length > 0 ? -1 : this.#accepted;
    while (seen !== this.#accepted && performance.now() < deadlineMs) {
      seen = this.#accepted;
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const key of keys) {
      this.#listeners.get(key)?.close();
      this.#listeners.delete(key);
    }
  }

  #serveAt(listener: Listener, key: string): void {
    const unix = key.startsWith('unix:');
    listener.on('connection', (socket) => this.#accept(socket, unix));
  }

  #accept(socket: Socket, unix: boolean): void {
    this.#accepted++;
    const address = socket.remoteAddress;
    if (address === undefined && !unix) {
      // Reset before it was accepted: nobody is there, and nothing may be keyed by its address.
      socket.on('error', () => {}).destroy();
      return;
    }
    const peer = unix ? undefined : { address: normaliseAddress(address ?? ''), port: socket.remotePort ?? 0 };
    const refusal = this.#refusal();
    if (refusal) {
      this.#around.observer.refused(this.name, refusal, formatAddress(peer));
      reset(socket.on('error', () => {}));
      return;
    }
    void this.#serve(new Connection(socket, peer, this.#around));
  }

  #refusal(): Refusal | undefined {
    if (this.#capacity.open >= this.#capacity.most) return 'open_files';
    const most = this.#config.maxConnections;
    return most > 0 && this.#connections.size >= most ? 'max_connections' : undefined;
  }

  async #serve(connection: Connection): Promise<void> {
    this.#connections.add(connection);
    this.#capacity.open++;
    try {
      await connection.run();
    } finally {
      this.#capacity.open--;
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#onEmpty?.();
    }
  }
}

/** Closes what was opened for a configuration that came to nothing. */
export function discard({ fresh }: Opened): void {
  for (const listener of fresh.values()) listener.close();
}
