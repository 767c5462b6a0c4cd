import type { Socket } from 'node:net';
import type { RelayBuffers } from './buffers.ts';
import { afterEnd, type Reader, type Sockets, type Wire, type Writer } from './sockets.ts';

/** A direction that was quiet for this long gives its large buffer back. */
const QUIET_MS = 1_000;
const NOTHING = Buffer.alloc(0);

/** Which of two directions had bytes last. */
export type Spoken = { last: Direction | undefined };

/** What has happened before the bytes of a direction flow. */
export type Start = {
  /** Goes to the target before the first bytes, and is not counted. */
  readonly header?: Buffer | undefined;
  /** What the source has sent so far. */
  readonly first?: Buffer;
  /** The source has said that nothing more will come. */
  readonly finished?: boolean;
};

/** Bytes from one socket to another, with backpressure. */
export class Direction implements Reader {
  bytes = 0;
  /** The source has said that nothing more will come. */
  ended = false;
  readonly #source: Wire;
  readonly #target: Socket;
  readonly #sockets: Sockets;
  readonly #buffers: RelayBuffers;
  readonly #spoken: Spoken;
  #writer: Writer | undefined;
  /** The large buffer, where the direction has one; it reads into the landing buffer otherwise. */
  #own: Buffer | undefined;
  /** When the large buffer was last read into, on the clock of `performance.now`. */
  #ownMs = 0;
  #blocked = false;
  #seenBytes = 0;
  #seenQueuedBytes = 0;
  #seenEnd = false;

  constructor(source: Wire, target: Wire, sockets: Sockets, buffers: RelayBuffers, spoken: Spoken) {
    this.#source = source;
    this.#target = target.socket;
    this.#sockets = sockets;
    this.#buffers = buffers;
    this.#spoken = spoken;
  }

  /** Writes the header and the first bytes in one piece, and from now on all that the source, which is read, sends. */
  begin({ header = NOTHING, first = NOTHING, finished = false }: Start = {}): void {
    const [source, target] = [this.#source, this.#target];
    source.reader = this;
    this.#writer = this.#sockets.writer(target);
    target.on('drain', () => this.#unblock());
    this.bytes = first.length;
    if (first.length > 0) this.#spoken.last = this;
    this.ended = finished;
    const piece = header.length > 0 ? Buffer.concat([header, first]) : first;
    const taken = piece.length === 0 ? target.writableLength === 0 : target.write(piece);
    if (finished) this.#finish();
    this.#blocked = !taken;
    // No read may land before the target has taken the piece: it would be written beside a write that is under way.
    if (!taken) source.socket.pause();
  }

  buffer(): Uint8Array {
    return this.#own ?? this.#buffers.landing;
  }

  landed(count: number): boolean {
    const own = this.#own;
    if (own) {
      const goOn = this.#pass(own.subarray(0, count));
      const [lastMs, nowMs] = [this.#ownMs, performance.now()];
      this.#ownMs = nowMs;
      // Not after a few short reads: a bulk transfer has those too, and changing buffers then costs twice its CPU.
      if (goOn && count < this.#buffers.landing.length && nowMs - lastMs > QUIET_MS) this.release();
      return goOn;
    }
    const buffers = this.#buffers;
    if (count === buffers.landing.length) {
      this.#own = buffers.lend();
      this.#ownMs = performance.now();
    }
    const copy = buffers.copy(count);
    const goOn = this.#pass(copy);
    if (this.#blocked) buffers.keep(copy);
    return goOn;
  }

  received(chunk: Buffer): boolean {
    return this.#pass(chunk);
  }

  finished(): void {
    this.ended = true;
    afterEnd(this.#source.socket, () => this.#finish());
  }

  /** Whether bytes wait for the target, which does not read. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /**
   * Whether bytes have moved since the last call: in from the source, or out to a target that reads slowly. To read a
   * clock at each message would be dearer.
   */
  progressed(): boolean {
    const queuedBytes = this.#blocked ? bytesQueued(this.#target) : 0;
    const moved =
      this.bytes !== this.#seenBytes || queuedBytes !== this.#seenQueuedBytes || this.ended !== this.#seenEnd;
    this.#seenBytes = this.bytes;
    this.#seenQueuedBytes = queuedBytes;
    this.#seenEnd = this.ended;
    return moved;
  }

  /** Gives the large buffer back; no read and no write may be under way in it. */
  release(): void {
    if (this.#own) this.#buffers.giveBack(this.#own);
    this.#own = undefined;
  }

  /** Tells the target that nothing more will come. */
  #finish(): void {
    const target = this.#target;
    // Both have finished: closing says so too, with a system call and an event less.
    if (target.readableEnded && target.writableLength === 0) target.destroy();
    else target.end();
  }

  #pass(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    this.#spoken.last = this;
    const taken = this.#writer?.write(chunk) === true;
    this.#blocked = !taken;
    return taken;
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#source.socket.resume();
  }
}

/** Bytes that the kernel has not taken yet. */
function bytesQueued(socket: Socket): number {
  return (socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0;
}
