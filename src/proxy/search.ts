import type { Backend } from '../pool/backend.ts';
import type { Outcome } from '../pool/queue.ts';
import type { Server } from '../pool/server.ts';
import { agreement } from '../pool/shared/agreement.ts';
import type { Stay } from '../pool/stay.ts';
import type { Endpoint, Route } from '../config/values.ts';
import type { Client } from './client.ts';
import { dial } from './dial.ts';
import type { ProxyObserver } from './observer.ts';
import type { End, Via } from './record.ts';
import type { RelayBuffers } from './relay/buffers.ts';
import type { Sockets, Wire } from './relay/sockets.ts';
import type { Terms } from './terms.ts';

/** Before the same server is tried again; another server is tried at once. As HAProxy's turn-around. */
const SAME_SERVER_DELAY_MS = 1_000;

/** `final`: to try another server would not help. */
type Unreached = { readonly kind: 'unreached'; readonly end: End; readonly final: boolean };
export type Reached = { readonly kind: 'server'; readonly server: Server; readonly wire: Wire } | Unreached;

const NONE: ReadonlySet<Server> = new Set();
const NOBODY: Unreached = { kind: 'unreached', end: 'SC', final: false };
/** Neither the server nor the machine is to blame: another source or another server may have a port left. */
const NO_PORT: Unreached = { kind: 'unreached', end: 'RC', final: false };

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
  /** How long it waited for an agreement with other balancers. */
  sharedMs = 0;
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
    let tried = NONE;
    let failed: Unreached = NOBODY;
    for (;;) {
      if (this.#client.isGone) return this.#left();
      if (tried.size > 0 && this.#stay.hasOnlyTried(tried)) {
        await this.#pause(Math.min(SAME_SERVER_DELAY_MS, timeouts.connect));
        if (this.#client.isGone) return this.#left();
      }
      const seen = this.#stay.choose(tried);
      const choice = seen.kind === 'full' ? await this.#queue(tried, seen.server) : seen;
      if (choice.kind === 'unreached') return choice;
      if (choice.kind === 'none') return failed;
      const { server } = choice;
      const asked = this.#stay.agree(server);
      if (asked && !(await this.#isAgreed(server, asked))) {
        server.releaseSlot();
        continue;
      }
      if (this.server === undefined) this.via = choice.kind;
      else if (!tried.has(server)) this.via = 'redispatched';
      if (this.server) {
        this.retries++;
        this.#around.observer.retried(this.#backend, server !== this.server);
      }
      this.server = server;
      const reached = await this.#dial(server);
      if (reached.kind === 'server') return reached;
      server.releaseSlot();
      if (reached.final) return reached;
      // Ports are what is short only where all servers lack them.
      if (failed === NOBODY || reached !== NO_PORT) failed = reached;
      if (this.retries >= retries) return failed;
      tried = new Set([...tried, server]);
    }
  }

  /** Whether the client may go to `server`, whose place is taken, when other balancers have been asked. */
  async #isAgreed(server: Server, first: Promise<void>): Promise<boolean> {
    this.stage = 'Q';
    const { agreed, tookMs } = await agreement(this.#stay, server, first, this.#stay.agreeMs - this.sharedMs);
    this.sharedMs += tookMs;
    return agreed && !this.#client.isGone;
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

  /** Waits for a place of `server`, to which the client is bound, or of any. A place that is granted is taken. */
  async #queue(tried: ReadonlySet<Server>, server: Server | undefined): Promise<Outcome | Unreached> {
    this.stage = 'Q';
    const { gone } = this.#client;
    const startedMs = performance.now();
    const wait = this.#stay.wait(tried, server);
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
    if (outcome && !gone.aborted) return outcome;
    if (outcome && outcome.kind !== 'none') outcome.server.releaseSlot();
    this.server = server ?? this.server;
    return timedOut ? { kind: 'unreached', end: 'sQ', final: true } : this.#left();
  }

  #dial(server: Server): Promise<Reached> {
    this.stage = 'C';
    const { endpoint } = server;
    if (!endpoint) return Promise.resolve(NOBODY);
    const sources = server.sources.inTurn(server.config.source, endpoint.host);
    if (sources.length > 1) return this.#connectFrom(sources, server, endpoint);
    // A promise more would cost each connection CPU.
    const localAddress = sources[0];
    return this.#connect(server, localAddress === undefined ? endpoint : { ...endpoint, localAddress });
  }

  /** From the first source that has a port left. */
  async #connectFrom(sources: readonly (string | undefined)[], server: Server, endpoint: Endpoint): Promise<Reached> {
    let reached: Reached = NO_PORT;
    for (const localAddress of sources) {
      reached = await this.#connect(server, { ...endpoint, localAddress });
      if (reached !== NO_PORT || this.#client.isGone) break;
    }
    return reached;
  }

  async #connect(server: Server, route: Route): Promise<Reached> {
    const { sockets, buffers, observer } = this.#around;
    const wire = sockets.connect(route, buffers.unread);
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
        // Out of descriptors or memory: no server is to blame, and another attempt needs the same.
        if (reason === 'resources') return { kind: 'unreached', end: 'RC', final: true };
        if (reason === 'no_port') return NO_PORT;
        server.connectFailed(route, text);
        return { kind: 'unreached', end: reason === 'timeout' ? 'sC' : 'SC', final: false };
      }
    }
  }

  /** The client has gone, or was ended, before its server was there. */
  #left(): Unreached {
    return { kind: 'unreached', end: `C${this.stage}`, final: true };
  }
}
