import type { Socket } from 'node:net';
import type { RelayBuffers } from './relay/buffers.ts';
import { afterEnd, reset, type Reader, type Sockets, type Wire } from './relay/sockets.ts';

/** What a client may send before its server is there. A ClientHello and the first request fit many times. */
const MOST_FIRST_BYTES = 64 << 10;
const NOTHING = Buffer.alloc(0);

/** Still undecided when the time was up, or when the client said that it has finished, or went away. */
export type Undecided = 'timeout' | 'left';

/** What is used of an AbortSignal. */
export type Gone = {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
};

/** An AbortSignal as far as connections need one: to make a real one costs a connection a twentieth more on Node 20. */
class Departure implements Gone {
  aborted = false;
  #listeners: (() => void)[] = [];

  addEventListener(_: 'abort', listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_: 'abort', listener: () => void): void {
    this.#listeners = this.#listeners.filter((one) => one !== listener);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    for (const listener of this.#listeners) listener();
  }
}

/**
 * A client that has no server yet: its first bytes, whether it is gone, and how it is turned away. A relay that takes
 * `wire` over ends this part of its life.
 */
export class Client implements Reader {
  readonly wire: Wire;
  /** The client has said that it will send nothing more. */
  hasFinished = false;
  readonly #buffers: RelayBuffers;
  #first: Buffer = NOTHING;
  readonly #departure = new Departure();
  /** Called when more first bytes, or the client's end, have come. */
  #onMore: (() => void) | undefined;

  /** `accepted` comes from a server with `pauseOnConnect`. */
  constructor(accepted: Socket, sockets: Sockets, buffers: RelayBuffers) {
    this.#buffers = buffers;
    this.wire = sockets.adopt(accepted, this);
    this.wire.socket.on('error', () => this.#leave());
  }

  /** What the client has sent, without what was skipped. */
  get first(): Buffer {
    return this.#first;
  }

  /** The client has reset its connection, or was closed, before a server was there. */
  get isGone(): boolean {
    return this.#departure.aborted;
  }

  /** Aborted when `isGone` becomes true. */
  get gone(): Gone {
    return this.#departure;
  }

  /** The address that the client connected to; undefined on a unix socket. */
  get local(): { readonly address: string; readonly port: number } | undefined {
    const { localAddress: address, localPort: port } = this.wire.socket;
    return address === undefined || port === undefined ? undefined : { address, port };
  }

  /**
   * Shows the first bytes to `look`, more of them each time, until `look` decides (anything but undefined), which it
   * must do within a bounded number of bytes. The bytes stay where they are. `deadlineMs` is on the clock of
   * `performance.now`.
   */
  peek<T extends object>(look: (bytes: Buffer) => T | undefined, deadlineMs: number): Promise<T | Undecided> {
    return new Promise((resolve) => {
      const settle = (outcome: T | Undecided): void => {
        clearTimeout(timer);
        this.#onMore = undefined;
        resolve(outcome);
      };
      const timer =
        deadlineMs === Infinity
          ? undefined
          : setTimeout(() => settle('timeout'), Math.max(0, deadlineMs - performance.now()));
      const consider = (): void => {
        const decided = look(this.#first);
        if (decided) settle(decided);
        else if (this.hasFinished || this.isGone) settle('left');
      };
      this.#onMore = consider;
      consider();
    });
  }

  /** The first bytes, for somebody else to keep. The client is read on. */
  take(): Buffer {
    const first = this.#first;
    this.skip(first.length);
    return first;
  }

  /** Drops bytes at the front that were meant for Berth. */
  skip(count: number): void {
    const wasFull = this.#first.length >= MOST_FIRST_BYTES;
    this.#first = count === this.#first.length ? NOTHING : this.#first.subarray(count);
    if (wasFull && this.#first.length < MOST_FIRST_BYTES) this.wire.socket.resume();
  }

  /** Turns the client away with a reset. */
  refuse(): void {
    reset(this.wire.socket);
  }

  /** Lets go of the client; what the kernel has taken is still delivered. */
  close(): void {
    this.wire.socket.destroy();
    this.#leave();
  }

  buffer(): Uint8Array {
    return this.#buffers.landing;
  }

  landed(count: number): boolean {
    return this.received(this.#buffers.landing.subarray(0, count));
  }

  received(chunk: Buffer): boolean {
    // A copy: the next read of another socket lands in the same buffer.
    this.#first = Buffer.concat([this.#first, chunk]);
    this.#onMore?.();
    return this.#first.length < MOST_FIRST_BYTES;
  }

  finished(): void {
    this.hasFinished = true;
    afterEnd(this.wire.socket, () => {});
    this.#onMore?.();
  }

  #leave(): void {
    this.#departure.abort();
    this.#onMore?.();
  }
}
