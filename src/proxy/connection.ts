import type { Socket } from 'node:net';
import type { Timeouts } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import type { Server } from '../pool/server.ts';
import type { RelayBuffers } from './buffers.ts';
import { dial } from './dial.ts';
import type { ProxyObserver, Via } from './observer.ts';
import { Relay, type End } from './relay.ts';
import type { Sockets } from './sockets.ts';

export type Surroundings = {
  readonly frontend: string;
  readonly backend: Backend;
  readonly timeouts: Timeouts;
  readonly sockets: Sockets;
  readonly buffers: RelayBuffers;
  readonly observer: ProxyObserver;
};

/** Who connected: the address is an IP literal, normalised; undefined on a unix socket. */
export type Client = { readonly address: string | undefined; readonly text: string };

/** Before the same server is tried again; another one is tried at once. As HAProxy's turn-around. */
const SAME_SERVER_DELAY_MS = 1_000;

type Reached =
  | { readonly kind: 'server'; readonly server: Server; readonly socket: Socket }
  | { readonly kind: 'none'; readonly end: End; readonly final: boolean };

const NOBODY: Reached = { kind: 'none', end: 'SC', final: false };

/** One client's connection, from the accept to its record. */
export class Connection {
  readonly #client: Client;
  readonly #around: Surroundings;
  readonly #relay: Relay;
  readonly #startedMs = performance.now();
  #server: Server | undefined;
  #via: Via | undefined;
  #retries = 0;
  #connectMs: number | undefined;
  /** How much of the relay's bytes the server's counters have. */
  #counted = { in: 0, out: 0 };

  constructor(accepted: Socket, client: Client, around: Surroundings) {
    this.#client = client;
    this.#around = around;
    this.#relay = new Relay(accepted, around.sockets, around.buffers);
  }

  /** The connection's whole life; resolves when it is over and recorded. */
  async run(): Promise<void> {
    const { backend } = this.#around;
    const key = backend.clientKey(this.#client.address);
    if (key !== undefined) backend.table?.open(key);
    const reached = await this.#reach(key);
    let end: End;
    if (reached.kind === 'server') {
      reached.server.connections++;
      end = await this.#relay.join(reached.socket);
      this.count();
      reached.server.connections--;
    } else {
      end = this.#relay.end ?? reached.end;
      this.#relay.refuse(end);
    }
    if (key !== undefined) backend.table?.close(key);
    this.#record(end);
  }

  /** Ends it on the operator's behalf. */
  kill(): void {
    this.#relay.close(this.#connectMs === undefined ? 'KC' : 'KD');
  }

  /** To be called about once a second: ends what is idle, and adds to the server's counters. */
  sweep(nowMs: number): void {
    this.#relay.checkIdle(nowMs, this.#around.timeouts);
    this.count();
  }

  /** Brings the server's byte counters up to date. */
  count(): void {
    // Before the server is there what the client sends waits here, and may go to another one.
    if (!this.#server || this.#connectMs === undefined) return;
    const { bytesIn, bytesOut } = this.#relay;
    this.#server.traffic.in += bytesIn - this.#counted.in;
    this.#server.traffic.out += bytesOut - this.#counted.out;
    this.#counted = { in: bytesIn, out: bytesOut };
  }

  /** Chooses and connects, and goes on to the next usable server where that fails. */
  async #reach(key: string | undefined): Promise<Reached> {
    const { backend, timeouts, observer } = this.#around;
    const tried = new Set<Server>();
    for (let failed: Reached = NOBODY; ;) {
      const choice = backend.choose(key, tried);
      if (choice.kind === 'none') return failed;
      const { server } = choice;
      const again = tried.has(server);
      if (again) await this.#pause(Math.min(SAME_SERVER_DELAY_MS, timeouts.connect));
      if (this.#relay.end !== undefined) return failed;
      if (this.#server) {
        this.#retries++;
        observer.retried(backend.name, server !== this.#server);
      }
      this.#via = this.#server && !again ? 'redispatched' : (this.#via ?? choice.kind);
      this.#server = server;
      const reached = await this.#attempt(server);
      if (reached.kind === 'server' || reached.final || this.#retries === backend.config.retries) return reached;
      failed = reached;
      tried.add(server);
    }
  }

  async #attempt(server: Server): Promise<Reached> {
    const { timeouts, observer } = this.#around;
    const { endpoint } = server;
    if (!endpoint) return NOBODY;
    const socket = this.#relay.connect(endpoint);
    const attempt = dial(socket, timeouts.connect);
    this.#relay.onClientLost(() => attempt.abandon());
    const dialled = await attempt.outcome;
    if (dialled.kind === 'abandoned') return { kind: 'none', end: 'CC', final: true };
    if (dialled.kind === 'connected') {
      this.#connectMs = dialled.seconds * 1_000;
      observer.connected(server, dialled.seconds);
      return { kind: 'server', server, socket };
    }
    const { reason, text } = dialled.failure;
    observer.connectFailed(server, reason);
    // Out of descriptors or ports: no server is to blame, and another attempt needs the same.
    if (reason === 'resources') return { kind: 'none', end: 'RC', final: true };
    server.connectFailed(endpoint.host, text);
    return { kind: 'none', end: reason === 'timeout' ? 'sC' : 'SC', final: false };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#relay.onClientLost(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #record(end: End): void {
    const { frontend, backend, observer } = this.#around;
    observer.ended({
      frontend,
      backend: backend.name,
      server: this.#server?.name,
      client: this.#client.text,
      via: this.#via,
      retries: this.#retries,
      in: this.#relay.bytesIn,
      out: this.#relay.bytesOut,
      connectMs: this.#connectMs === undefined ? undefined : round(this.#connectMs),
      queueMs: 0,
      durationMs: round(performance.now() - this.#startedMs),
      end,
    });
  }
}

/** To the microsecond. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
