import type { Socket } from 'node:net';
import type { Endpoint } from '../config/values.ts';
import type { RelayBuffers } from './buffers.ts';
import { Direction, type Spoken } from './direction.ts';
import { reset, type Sockets } from './sockets.ts';

/**
 * How a connection ended, as HAProxy writes it: who (`C` client, `S` server, `P` the proxy, by a rule, `R` resources, `D` the
 * server was marked down, `K` the operator, `c` and `s` their timeouts, `-` nobody), then when (`R` preface, `Q` queue,
 * `C` connect, `D` data, `L` last bytes to the client, `-` at its end).
 */
export type End = `${'C' | 'S' | 'P' | 'R' | 'D' | 'K' | 'c' | 's'}${Phase}` | '--';
export type Phase = 'R' | 'Q' | 'C' | 'D' | 'L';

export type Joining = {
  /** Goes to the server before the client's first bytes. */
  readonly header?: Buffer | undefined;
  /** Judges the client's first bytes: 'yes' ends the connection, 'maybe' wants more of them before the server sees any. */
  readonly forbids?: ((first: Buffer) => 'yes' | 'no' | 'maybe') | undefined;
};

export type RelayTimeouts = { readonly idle: number; readonly halfClosed: number };
type Side = 'client' | 'server';

/**
 * The bytes of one connection, both ways: in order, once, unchanged. Each direction ends on its own; a reset on one side
 * resets the other; a slow reader stops the sender.
 */
export class Relay {
  readonly #sockets: Sockets;
  readonly #client: Socket;
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #spoken: Spoken = { last: undefined };
  #server: Socket | undefined;
  /** When a sweep last saw that something had moved; before that, when the server was joined. */
  #movedMs = 0;
  #end: End | undefined;
  #onClientLost: (() => void) | undefined;
  /** What is being done until a server is joined. */
  stage: 'R' | 'Q' | 'C' = 'R';

  constructor(accepted: Socket, sockets: Sockets, buffers: RelayBuffers) {
    this.#sockets = sockets;
    this.#up = new Direction(buffers, this.#spoken);
    this.#down = new Direction(buffers, this.#spoken);
    this.#client = sockets.adopt(accepted, this.#up);
    this.#client.on('error', (error) => this.#lost('client', error));
    this.#up.from(this.#client);
    this.#down.to(this.#client, sockets.writer(this.#client));
    this.#client.resume();
  }

  get bytesIn(): number {
    return this.#up.bytes;
  }

  get bytesOut(): number {
    return this.#down.bytes;
  }

  /** Why it was ended, or is to be recorded as having ended; undefined while it goes on. */
  get end(): End | undefined {
    return this.#end;
  }

  /** What the client has sent before a server is joined. */
  get early(): Buffer {
    return this.#up.early;
  }

  /** The client has said that it will send nothing more. */
  get clientFinished(): boolean {
    return this.#up.ended;
  }

  /** The address that the client connected to. */
  get local(): { readonly address: string; readonly port: number } | undefined {
    const { localAddress: address, localPort: port } = this.#client;
    return address === undefined || port === undefined ? undefined : { address, port };
  }

  /** Calls back whenever there is more to see in `early`, or `clientFinished` has become true. */
  onEarly(callback: (() => void) | undefined): void {
    this.#up.onEarly = callback;
  }

  /** Drops the first bytes of `early`. */
  skip(count: number): void {
    this.#up.skip(count);
  }

  /** A socket on its way to a server. Only one that has connected may be joined. */
  connect(endpoint: Endpoint): Socket {
    return this.#sockets.connect(endpoint, this.#down);
  }

  /** Calls back once if the client resets, or is ended, before a server is joined. */
  onClientLost(callback: (() => void) | undefined): void {
    this.#onClientLost = callback;
  }

  /** Relays until both sockets are closed. */
  async join(server: Socket, { header, forbids }: Joining = {}): Promise<End> {
    if (this.#end !== undefined) {
      server.destroy();
      return this.#end;
    }
    this.#server = server;
    this.#onClientLost = undefined;
    server.on('error', (error) => this.#lost('server', error));
    this.#down.from(server);
    // The time that it took to find a server was not idle.
    this.#movedMs = performance.now();
    const closed = bothClosed(this.#client, server);
    // Where the client has said nothing yet it goes alone: a server that speaks first may wait for it.
    const alone = header !== undefined && this.#up.early.length === 0;
    if (alone) server.write(header);
    const begin = (): void => this.#up.to(server, this.#sockets.writer(server), alone ? undefined : header);
    if (forbids) this.#judgeFirst(forbids, begin);
    else begin();
    await closed;
    this.#up.release();
    this.#down.release();
    return this.#end ?? '--';
  }

  /** Ends it from outside: what the kernel has taken is still delivered. */
  close(end: End): void {
    this.#end ??= end;
    this.#client.destroy();
    this.#server?.destroy();
    this.#onClientLost?.();
  }

  /** Turns the client away with a reset: there is no server for it, or it must not go there. */
  refuse(end: End): void {
    this.#end ??= end;
    reset(this.#client);
    this.#server?.destroy();
    this.#up.release();
  }

  /** Ends it where nothing has moved for too long. To be called about once a second. */
  checkIdle(nowMs: number, { idle, halfClosed }: RelayTimeouts): void {
    if (!this.#server) return;
    const moved = [this.#up.progressed(), this.#down.progressed()];
    if (moved.includes(true)) this.#movedMs = nowMs;
    const half = this.#up.ended || this.#down.ended;
    if (nowMs - this.#movedMs < (half ? halfClosed : idle)) return;
    this.close(`${this.#awaitsServer ? 's' : 'c'}${this.phase}`);
  }

  /** The side that is waited for: the one that does not read, has not finished, or did not speak last. */
  get #awaitsServer(): boolean {
    if (this.#up.blocked !== this.#down.blocked) return this.#up.blocked;
    return this.#up.ended || this.#down.ended ? this.#up.ended : this.#spoken.last === this.#up;
  }

  #judgeFirst(forbids: NonNullable<Joining['forbids']>, begin: () => void): void {
    const consider = (): void => {
      const verdict = this.#up.early.length === 0 && !this.#up.ended ? 'maybe' : forbids(this.#up.early);
      if (verdict === 'maybe' && !this.#up.ended) return;
      this.onEarly(undefined);
      if (verdict === 'yes') this.refuse('PR');
      else begin();
    };
    this.onEarly(consider);
    consider();
  }

  /** A server is joined. */
  get joined(): boolean {
    return this.#server !== undefined;
  }

  /** HAProxy's L: the server has finished, its last bytes are on their way to the client. */
  get phase(): Phase {
    if (!this.joined) return this.stage;
    return this.#down.ended ? 'L' : 'D';
  }

  /** A socket has failed: the other end is told in the same way. */
  #lost(side: Side, { code }: NodeJS.ErrnoException): void {
    const first = this.#end === undefined;
    if (!this.#server) {
      this.#end ??= `${side === 'client' ? 'C' : 'S'}${this.phase}`;
      this.#onClientLost?.();
      return;
    }
    const [lost, other] = side === 'client' ? [this.#up, this.#server] : [this.#down, this.#client];
    // After an end that was one, a reset shows as EPIPE.
    if (code === 'ECONNRESET') lost.ended = false;
    this.#end ??= `${side === 'client' ? 'C' : 'S'}${this.phase}`;
    if (!first) return;
    // Where it had finished, what it sent is complete: the other end gets all of it before it is left.
    if (lost.ended) afterFinish(other, () => other.destroy());
    else reset(other);
  }
}

function bothClosed(a: Socket, b: Socket): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    const closed = (): void => {
      if (--open === 0) resolve();
    };
    for (const socket of [a, b]) {
      if (socket.closed) closed();
      else socket.once('close', closed);
    }
  });
}

function afterFinish(socket: Socket, then: () => void): void {
  if (socket.writableFinished) then();
  else socket.once('finish', then);
}
