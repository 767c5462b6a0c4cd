import type { Socket } from 'node:net';
import type { Timeouts } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import { buildProxyHeader, looksLikeProxyHeader } from '../pool/proxy-protocol.ts';
import type { Server } from '../pool/server.ts';
import type { Address, Admission, Admitted, Refusal } from './admission.ts';
import type { RelayBuffers } from './buffers.ts';
import { dial } from './dial.ts';
import type { ProxyObserver, Via } from './observer.ts';
import { Relay, type End } from './relay.ts';
import type { Sockets } from './sockets.ts';

export type Surroundings = {
  readonly frontend: string;
  readonly admission: Admission;
  readonly timeouts: Timeouts;
  readonly sockets: Sockets;
  readonly buffers: RelayBuffers;
  readonly observer: ProxyObserver;
};

/** Before the same server is tried again; another one is tried at once. As HAProxy's turn-around. */
const SAME_SERVER_DELAY_MS = 1_000;

/**
 * How a connection ends whose first bytes did not lead to a server. One that `allow`, `deny` or `perSource` turns away was none: it
 * has no record, since floods of them are what such rules are for.
 */
const PREFACE_ENDS: Partial<Record<Refusal, End>> = {
  proxy_header_missing: 'cR',
  proxy_header_invalid: 'PR',
  server_name_unknown: 'PR',
  client_left: 'CR',
};

type Reached =
  | { readonly kind: 'server'; readonly server: Server; readonly socket: Socket }
  | { readonly kind: 'none'; readonly end: End; readonly final: boolean };

const NOBODY: Reached = { kind: 'none', end: 'SC', final: false };
/** The client is gone, or was ended: the relay knows when and by whom. */
const GONE: Reached = { kind: 'none', end: 'CC', final: true };

/** One client's connection, from the accept to its record. */
export class Connection {
  readonly #peer: Address | undefined;
  readonly #around: Surroundings;
  readonly #relay: Relay;
  readonly #startedMs = performance.now();
  #server: Server | undefined;
  #via: Via | undefined;
  #retries = 0;
  #connectMs: number | undefined;
  #queueMs = 0;
  /** How much of the relay's bytes the server's counters have. */
  #counted = { in: 0, out: 0 };

  /** `peer` is undefined on a unix socket. */
  constructor(accepted: Socket, peer: Address | undefined, around: Surroundings) {
    this.#peer = peer;
    this.#around = around;
    this.#relay = new Relay(accepted, around.sockets, around.buffers);
  }

  /** The server that it is connected to; one that it is on its way to is none, since it may yet get another. */
  get server(): Server | undefined {
    return this.#relay.joined ? this.#server : undefined;
  }

  /** The connection's whole life; resolves when it is over and recorded. */
  async run(): Promise<void> {
    const { admission } = this.#around;
    const admitting = admission.admit(this.#relay, this.#peer);
    // Most connections need no waiting here or below: a promise that is not made is a new connection made cheaper.
    const admitted = admitting instanceof Promise ? await admitting : admitting;
    if (admitted.kind === 'refused') {
      const ended = PREFACE_ENDS[admitted.reason];
      this.#relay.refuse(ended ?? 'PR');
      this.#refused(admitted.reason, admitted.client);
      if (ended) this.#record(admitted, this.#relay.end ?? ended);
      return;
    }
    const { client, backend } = admitted;
    const key = backend.clientKey(client?.address);
    // A reload may give the backend another table while this connection stands.
    const { table } = backend;
    if (key !== undefined) table?.open(key);
    const end = await this.#serve(admitted, key);
    if (key !== undefined) table?.close(key);
    if (client) admission.access.leave(client.address);
    this.#record(admitted, end);
  }

  /** Ends it on behalf of the operator (`K`), or because its server was marked down (`D`). */
  kill(who: 'K' | 'D'): void {
    this.#relay.close(`${who}${this.#relay.phase}`);
  }

  /** To be called about once a second: ends what is idle, and adds to the server's counters. */
  sweep(nowMs: number): void {
    this.#relay.checkIdle(nowMs, this.#around.timeouts);
    this.#count();
  }

  /** Brings the server's byte counters up to date. */
  #count(): void {
    // Before the server is there what the client sends waits here, and may go to another one.
    if (!this.#server || this.#connectMs === undefined) return;
    const { bytesIn, bytesOut } = this.#relay;
    this.#server.traffic.in += bytesIn - this.#counted.in;
    this.#server.traffic.out += bytesOut - this.#counted.out;
    this.#counted = { in: bytesIn, out: bytesOut };
  }

  async #serve(admitted: Admitted, key: string | undefined): Promise<End> {
    const reached = await this.#reach(admitted.backend, key);
    if (reached.kind === 'none') {
      const end = this.#relay.end ?? reached.end;
      this.#relay.refuse(end);
      return end;
    }
    const { server, socket } = reached;
    const end = await this.#relay.join(socket, {
      header: this.#header(admitted, server),
      forbids: admitted.proxied ? undefined : looksLikeProxyHeader,
    });
    this.#count();
    server.releaseSlot();
    if (end === 'PR') this.#refused('proxy_header_forbidden', admitted.client);
    return end;
  }

  /** Chooses and connects, and goes on to the next usable server where that fails. */
  async #reach(backend: Backend, key: string | undefined): Promise<Reached> {
    const { timeouts, observer } = this.#around;
    const tried = new Set<Server>();
    let failed: Reached = NOBODY;
    for (;;) {
      if (this.#relay.end !== undefined) return GONE;
      const choice = backend.choose(key, tried);
      if (choice.kind === 'none') return failed;
      const { server } = choice;
      const again = tried.has(server);
      if (again) {
        await this.#pause(Math.min(SAME_SERVER_DELAY_MS, timeouts.connect));
        if (this.#relay.end !== undefined) return GONE;
        // Taken out meanwhile.
        if (!server.usable) continue;
      }
      this.#via = this.#server === undefined ? choice.kind : again ? this.#via : 'redispatched';
      if (server.hasRoom) server.slots.take();
      else {
        const place = await this.#queue(server);
        if (place === 'moved') continue;
        if (place !== 'granted') return place;
      }
      if (this.#server) {
        this.#retries++;
        observer.retried(backend.name, server !== this.#server);
      }
      this.#server = server;
      const reached = await this.#attempt(server);
      if (reached.kind === 'server') return reached;
      server.releaseSlot();
      if (reached.final || this.#retries >= backend.config.retries) return reached;
      failed = reached;
      tried.add(server);
    }
  }

  /** Waits for one of the server's places. */
  async #queue(server: Server): Promise<'granted' | 'moved' | Reached> {
    this.#relay.stage = 'Q';
    const startedMs = performance.now();
    const wait = server.slots.queue();
    let timedOut = false;
    const timer = setTimeout(
      () => {
        timedOut = true;
        wait.leave();
      },
      Math.max(0, this.#around.timeouts.queue - this.#queueMs),
    );
    this.#relay.onClientLost(() => wait.leave());
    const outcome = await wait.outcome;
    clearTimeout(timer);
    this.#queueMs += performance.now() - startedMs;
    if (outcome === 'granted' && this.#relay.end !== undefined) server.releaseSlot();
    else if (outcome !== 'left') return outcome;
    this.#server = server;
    return timedOut ? { kind: 'none', end: 'sQ', final: true } : GONE;
  }

  async #attempt(server: Server): Promise<Reached> {
    const { timeouts, observer } = this.#around;
    this.#relay.stage = 'C';
    const { endpoint } = server;
    if (!endpoint) return NOBODY;
    const socket = this.#relay.connect(endpoint);
    const attempt = dial(socket, timeouts.connect);
    this.#relay.onClientLost(() => attempt.abandon());
    const dialled = await attempt.outcome;
    if (dialled.kind === 'abandoned') return GONE;
    if (dialled.kind === 'connected') {
      this.#connectMs = dialled.seconds * 1_000;
      server.traffic.connections++;
      observer.connected(server, dialled.seconds);
      return { kind: 'server', server, socket };
    }
    const { reason, text } = dialled.failure;
    observer.connectFailed(server, reason);
    // Out of descriptors or ports: no server is to blame, and another attempt needs the same.
    if (reason === 'resources') return { kind: 'none', end: 'RC', final: true };
    server.connectFailed(endpoint, text);
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

  #header({ client, destination, backend }: Admitted, server: Server): Buffer | undefined {
    const version = server.config.sendProxy ?? backend.config.sendProxy;
    if (version === 'none') return undefined;
    return buildProxyHeader(version, client, client && (destination ?? this.#relay.local));
  }

  #refused(reason: Refusal, client: Address | undefined): void {
    this.#around.observer.refused(this.#around.frontend, reason, formatAddress(client));
  }

  #record({ client, serverName, backend }: Partial<Omit<Admitted, 'kind'>>, end: End): void {
    this.#around.observer.ended({
      frontend: this.#around.frontend,
      backend: backend?.name,
      server: this.#server?.name,
      client: formatAddress(client),
      sni: serverName,
      via: this.#via,
      retries: this.#retries,
      in: this.#relay.bytesIn,
      out: this.#relay.bytesOut,
      connectMs: this.#connectMs === undefined ? undefined : round(this.#connectMs),
      queueMs: round(this.#queueMs),
      durationMs: round(performance.now() - this.#startedMs),
      end,
    });
  }
}

/** `ip:port`, an IPv6 address in brackets, or `unix`. */
export function formatAddress(address: Address | undefined): string {
  if (!address) return 'unix';
  return address.address.includes(':') ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** To the microsecond. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
