import type { Backend } from '../pool/backend.ts';
import { Rate } from '../pool/rate.ts';
import type { Server } from '../pool/server.ts';
import type { Account } from '../proxy/observer.ts';

/**
 * A connection that moves fewer bytes than these between two looks (a second, about) is as good as silent: a keepalive
 * of HTTP/2 is that, and so is the farewell of TLS with which an idle connection ends.
 */
const LEAST_BYTES = 256;

/** Which way the bytes went: to the server, to the client, or nowhere. */
export const DIRECTIONS = ['push', 'pull', 'idle'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Whoever knows which sessions are under way. */
export type Keeper = {
  /** The session has begun, or something was done in it. */
  active(session: Session): void;
  /** Its client has no connection any more, and no session under way. */
  idle(session: Session): void;
};

/**
 * What a client does in a backend, over all its connections: the session under way, and between two sessions only how
 * many connections are open. A session begins with a connection, or with bytes on an open one. Whoever keeps sessions
 * ends it.
 */
export class Session implements Account {
  readonly backend: Backend;
  /** The client's key in the stick table, or `unix`. */
  readonly client: string;
  /** That of the latest connection; undefined where none has reached a server. */
  server: Server | undefined;
  /** How often the client was given another server within the session. */
  moves = 0;
  /** Connections open now. */
  connections = 0;
  /** Connections that had a part in the session. */
  total = 0;
  in = 0;
  out = 0;
  isUnderWay = false;
  /** When it began, in milliseconds since 1970. */
  sinceMs = 0;
  /** When it began, and when something was done in it last, on the clock of `performance.now`. */
  startedMs = 0;
  activeMs = 0;
  /** Its neighbours in the order of their last activity. */
  quieter: Session | undefined;
  busier: Session | undefined;
  readonly #keeper: Keeper;
  #rates: { readonly in: Rate; readonly out: Rate } | undefined;

  constructor(backend: Backend, client: string, keeper: Keeper) {
    this.backend = backend;
    this.client = client;
    this.#keeper = keeper;
  }

  get direction(): Direction {
    if (this.in === 0 && this.out === 0) return 'idle';
    return this.in > this.out ? 'push' : 'pull';
  }

  /** Bytes a second, of about the last ten seconds. */
  get perSecond(): { readonly in: number; readonly out: number } {
    return { in: this.#rates?.in.perSecond ?? 0, out: this.#rates?.out.perSecond ?? 0 };
  }

  /** A connection of the client begins. */
  came(nowMs: number): void {
    this.connections++;
    if (this.isUnderWay) this.total++;
    else {
      // Idle connections stay where they are; without any, the former server is history.
      if (this.connections === 1) this.server = undefined;
      this.#begin(nowMs);
    }
    this.#active(nowMs);
  }

  joined(server: Server): void {
    if (this.server === server) return;
    if (this.server) this.moves++;
    this.server = server;
  }

  moved(bytesIn: number, bytesOut: number, nowMs: number): void {
    const isActive = bytesIn + bytesOut >= LEAST_BYTES;
    if (!this.isUnderWay) {
      if (!isActive) return;
      this.#begin(nowMs);
    }
    this.in += bytesIn;
    this.out += bytesOut;
    if (isActive) this.#active(nowMs);
  }

  left(bytesIn: number, bytesOut: number, nowMs: number): void {
    this.moved(bytesIn, bytesOut, nowMs);
    this.connections--;
    if (this.isUnderWay) this.#active(nowMs);
    else if (this.connections === 0) this.#keeper.idle(this);
  }

  /** To be called about once a second. */
  sweep(nowMs: number): void {
    if (this.in + this.out === 0) return;
    this.#rates ??= { in: new Rate(0, this.startedMs), out: new Rate(0, this.startedMs) };
    this.#rates.in.look(this.in, nowMs);
    this.#rates.out.look(this.out, nowMs);
  }

  /** To be called by its keeper alone. */
  end(): void {
    this.isUnderWay = false;
    this.#rates = undefined;
    if (this.connections === 0) this.#keeper.idle(this);
  }

  #begin(nowMs: number): void {
    this.isUnderWay = true;
    this.total = this.connections;
    this.in = 0;
    this.out = 0;
    this.moves = 0;
    this.sinceMs = Date.now();
    this.startedMs = nowMs;
    this.activeMs = nowMs;
  }

  #active(nowMs: number): void {
    if (nowMs > this.activeMs) this.activeMs = nowMs;
    this.#keeper.active(this);
  }
}
