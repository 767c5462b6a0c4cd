import type { Socket } from 'node:net';
import type { RelayBuffers } from './buffers.ts';
import { Direction, type Spoken, type Start } from './direction.ts';
import { PatientSocket } from './patient-socket.ts';
import { keepAlive, reset, type Sockets, type Wire } from './sockets.ts';

export type Side = 'client' | 'server';

/**
 * How a relay ended: both sides finished, a side broke off or was silent for too long, or the owner closed the relay.
 * `lastBytes`: the server had finished by then, so only its last bytes to the client were still on their way.
 */
export type RelayEnd =
  | { readonly kind: 'finished' }
  | { readonly kind: 'broken' | 'idle'; readonly side: Side; readonly lastBytes: boolean }
  | { readonly kind: 'closed'; readonly lastBytes: boolean };

/**
 * Milliseconds without a byte: in either direction, once one side has finished, and before the kernel asks both peers
 * whether they are still there (0: it does not).
 */
export type RelayTimeouts = { readonly idle: number; readonly halfClosed: number; readonly keepAlive: number };

const FINISHED: RelayEnd = { kind: 'finished' };

/**
 * The bytes between two connected sockets, both ways: in order, once, unchanged. Each direction ends on its own; a
 * reset on one side resets the other; a slow reader stops the sender.
 *
 * The server's bytes flow from the beginning. The client's flow from `forward` on, since their first ones may have to
 * be looked at.
 */
export class Relay {
  /** Resolves when both sockets are closed. */
  readonly ended: Promise<RelayEnd>;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #spoken: Spoken = { last: undefined };
  #movedMs = performance.now();
  #isKeptAlive = false;
  #end: RelayEnd | undefined;

  /** Both wires are connected, and nobody else reads the server's. */
  constructor(client: Wire, server: Wire, sockets: Sockets, buffers: RelayBuffers) {
    this.#client = client.socket;
    this.#server = server.socket;
    PatientSocket.pair(this.#client, this.#server);
    this.#up = new Direction(client, server, sockets, buffers, this.#spoken);
    this.#down = new Direction(server, client, sockets, buffers, this.#spoken);
    this.#client.on('error', (error) => this.#lost('client', error));
    this.#server.on('error', (error) => this.#lost('server', error));
    this.ended = new Promise((resolve) => whenClosed(this.#client, this.#server, () => resolve(this.#over())));
    this.#down.begin();
  }

  /** Bytes from the client to the server, those of `forward` included. */
  get bytesIn(): number {
    return this.#up.bytes;
  }

  /** Bytes from the server to the client. */
  get bytesOut(): number {
    return this.#down.bytes;
  }

  /** When a sweep last saw that bytes had moved; before the first sweep, when the relay began. */
  get movedMs(): number {
    return this.#movedMs;
  }

  /** How the relay ends, known before its sockets are closed; undefined while it goes on. */
  get end(): RelayEnd | undefined {
    return this.#end;
  }

  /** Whether the server has finished: what is left are its last bytes to the client. */
  get lastBytes(): boolean {
    return this.#down.ended;
  }

  /** The client's bytes begin to flow, behind those that have come already. To be called once. */
  forward(start: Start): void {
    if (this.#end === undefined) this.#up.begin(start);
  }

  /** Ends both sides; what the kernel has taken is still delivered. */
  close(): void {
    this.#end ??= { kind: 'closed', lastBytes: this.lastBytes };
    this.#client.destroy();
    this.#server.destroy();
  }

  /** Turns the client away with a reset, and leaves the server. */
  reject(): void {
    this.#end ??= { kind: 'closed', lastBytes: this.lastBytes };
    reset(this.#client);
    this.#server.destroy();
  }

  /**
   * Ends the relay if nothing has moved for too long, and has quiet directions give their memory back. To be called
   * about once a second; `nowMs` is `performance.now()`.
   */
  sweep(nowMs: number, timeouts: RelayTimeouts): void {
    const moved = [this.#up.sweep(nowMs), this.#down.sweep(nowMs)];
    if (moved.includes(true)) this.#movedMs = nowMs;
    const quietMs = nowMs - this.#movedMs;
    // Not at the start: it takes four system calls a socket, and most connections are over before the first look.
    if (!this.#isKeptAlive && timeouts.keepAlive > 0) {
      this.#isKeptAlive = true;
      for (const socket of [this.#client, this.#server]) keepAlive(socket, timeouts.keepAlive);
    }
    const half = this.#up.ended || this.#down.ended;
    if (quietMs < (half ? timeouts.halfClosed : timeouts.idle)) return;
    this.#end ??= { kind: 'idle', side: this.#awaited, lastBytes: this.lastBytes };
    this.close();
  }

  #over(): RelayEnd {
    this.#up.release();
    this.#down.release();
    return this.#end ?? FINISHED;
  }

  /** The side that the other waits for: the side that does not read, has not finished, or was spoken to last. */
  get #awaited(): Side {
    const { blocked, ended } = this.#up;
    if (blocked !== this.#down.blocked) return blocked ? 'server' : 'client';
    if (ended || this.#down.ended) return ended ? 'server' : 'client';
    return this.#spoken.last === this.#up ? 'server' : 'client';
  }

  /** A socket has failed: the other side is told in the same way. */
  #lost(side: Side, { code }: NodeJS.ErrnoException): void {
    const first = this.#end === undefined;
    const [lost, other] = side === 'client' ? [this.#up, this.#server] : [this.#down, this.#client];
    // If the peer sent FIN before RST, the write fails with EPIPE, so what it sent is complete. ECONNRESET says that
    // the end which was seen before was none.
    if (code === 'ECONNRESET') lost.ended = false;
    this.#end ??= { kind: 'broken', side, lastBytes: this.lastBytes };
    if (!first) return;
    // If the lost side had finished, what it sent is complete: the other side gets all of that before it is left.
    if (lost.ended) afterFinish(other, () => other.destroy());
    else reset(other);
  }
}

/** Calls back when both sockets are closed. */
function whenClosed(a: Socket, b: Socket, then: () => void): void {
  let open = 2;
  const closed = (): void => {
    if (--open === 0) then();
  };
  // It comes once anyway, and `once` would keep three objects more for as long as the socket lives.
  if (a.closed) closed();
  else a.on('close', closed);
  if (b.closed) closed();
  else b.on('close', closed);
}

function afterFinish(socket: Socket, then: () => void): void {
  if (socket.writableFinished) then();
  else socket.once('finish', then);
}
