import type { Backend, Stay } from '../pool/backend.ts';
import type { Server } from '../pool/server.ts';
import type { Client } from './client.ts';
import { dial } from './dial.ts';
import type { ProxyObserver } from './observer.ts';
import type { End, Via } from './record.ts';
import type { RelayBuffers } from './relay/buffers.ts';
import type { Sockets, Wire } from './relay/sockets.ts';
import type { Terms } from './terms.ts';

/** Before the same server is tried again; another server is tried at once. As HAProxy's turn-around. */
const SAME_SERVER_DELAY_MS = 1_000;

export type Reached =
  | { readonly kind: 'server'; readonly server: Server; readonly wire: Wire }
  /** `final`: to try another server would not help. */
  | { readonly kind: 'none'; readonly end: End; readonly final: boolean };

const NOBODY: Reached = { kind: 'none', end: 'SC', final: false };

export type SearchParts = {
  readonly sockets: Sockets;
  readonly buffers: RelayBuffers;
  readonly observer: ProxyObserver;
};

/**
 * The search for a client's server: chooses, waits for a place, connects, and goes on to the next server where that
 * fails.
 */
export class Search {
  /** What the search is at: the client's first bytes, a queue, a connect. */
  stage: 'R' | 'Q' | 'C' = 'R';
  /** The server that was tried last. */
  server: Server | undefined;
  via: Via | undefined;
  /** Connect attempts beyond the first. */
  retries = 0;
  connectMs: number | undefined;
  queueMs = 0;
  readonly #client: Client;
  readonly #backend: Backend;
  readonly #stay: Stay;
  readonly #terms: Terms;
  readonly #around: SearchParts;

  constructor(client: Client, backend: Backend, stay: Stay, terms: Terms, around: SearchParts) {
    this.#client = client;
    this.#backend = backend;
    this.#stay = stay;
    this.#terms = terms;
    this.#around = around;
  }

  /** Resolves when there is a server, or none is to be had. */
  async run(): Promise<Reached> {
    const { timeouts } = this.#terms;
    const { retries } = this.#backend.config;
    const tried = new Set<Server>();
    let failed: Reached = NOBODY;
    for (;;) {
      if (this.#client.isGone) return this.#left();
      const choice = this.#stay.choose(tried);
      if (choice.kind === 'none') return failed;
      const { server } = choice;
      const again = tried.has(server);
      if (again) {
        await this.#pause(Math.min(SAME_SERVER_DELAY_MS, timeouts.connect));
        if (this.#client.isGone) return this.#left();
        // The operator, a check or a reload has taken the server out meanwhile.
        if (!server.usable) continue;
      }
      this.via = this.server === undefined ? choice.kind : again ? this.via : 'redispatched';
      if (server.hasRoom) server.slots.take();
      else {
        const place = await this.#queue(server);
        if (place === 'moved') continue;
        if (place !== 'granted') return place;
      }
      if (this.server) {
        this.retries++;
        this.#around.observer.retried(this.#backend, server !== this.server);
      }
      this.server = server;
      const reached = await this.#dial(server);
      if (reached.kind === 'server') return reached;
      server.releaseSlot();
      if (reached.final || this.retries >= retries) return reached;
      failed = reached;
      tried.add(server);
    }
  }

  /** Lets time pass, unless the client is gone sooner. */
  #pause(ms: number): Promise<void> {
    const { gone } = this.#client;
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer);
        gone.removeEventListener('abort', over);
        resolve();
      };
      const timer = setTimeout(over, ms);
      gone.addEventListener('abort', over);
    });
  }

  /** Waits for one of the server's places. */
  async #queue(server: Server): Promise<'granted' | 'moved' | Reached> {
    this.stage = 'Q';
    const { gone } = this.#client;
    const startedMs = performance.now();
    const wait = server.slots.queue();
    let timedOut = false;
    const leave = (): void => wait.leave();
    const timer = setTimeout(
      () => {
        timedOut = true;
        leave();
      },
      Math.max(0, this.#terms.timeouts.queue - this.queueMs),
    );
    if (gone.aborted) leave();
    else gone.addEventListener('abort', leave);
    const outcome = await wait.outcome;
    clearTimeout(timer);
    gone.removeEventListener('abort', leave);
    this.queueMs += performance.now() - startedMs;
    if (outcome === 'granted' && gone.aborted) server.releaseSlot();
    else if (outcome !== 'left') return outcome;
    this.server = server;
    return timedOut ? { kind: 'none', end: 'sQ', final: true } : this.#left();
  }

  async #dial(server: Server): Promise<Reached> {
    const { sockets, buffers, observer } = this.#around;
    this.stage = 'C';
    const { endpoint } = server;
    if (!endpoint) return NOBODY;
    const wire = sockets.connect(endpoint, buffers.unread);
    const dialled = await dial(wire.socket, this.#terms.timeouts.connect, this.#client.gone);
    switch (dialled.kind) {
      case 'abandoned':
        return this.#left();
      case 'connected':
        if (this.#client.isGone) {
          wire.socket.destroy();
          return this.#left();
        }
        this.connectMs = dialled.seconds * 1_000;
        server.traffic.connections++;
        observer.connected(server, dialled.seconds);
        return { kind: 'server', server, wire };
      case 'failed': {
        const { reason, text } = dialled.failure;
        observer.connectFailed(server, reason);
        // Out of descriptors or ports: no server is to blame, and another attempt needs the same.
        if (reason === 'resources') return { kind: 'none', end: 'RC', final: true };
        server.connectFailed(endpoint, text);
        return { kind: 'none', end: reason === 'timeout' ? 'sC' : 'SC', final: false };
      }
    }
  }

  /** The client has gone, or was ended, before its server was there. */
  #left(): Reached {
    return { kind: 'none', end: `C${this.stage}`, final: true };
  }
}
