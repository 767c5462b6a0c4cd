import type { Socket } from 'node:net';
import type { RelayBuffers } from './buffers.ts';
import { afterEnd, type Reader, type Sockets, type Wire, type Writer } from './sockets.ts';

/**
 * A direction that moves fewer bytes than these in a second gives its large buffer back. A sweep does that, since a
 * quiet direction has no next read. A few short reads are no reason: a bulk transfer has those too, and would cost
 * twice its CPU if it changed buffers each time.
 */
const SLOW_BYTES = 256 << 10;
const SLOW_MS = 1_000;
/** How often a direction may give its buffer back, since each time costs memory (see `Wire.aim`). */
const MOST_RETURNS = 1_000;
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
  #returns = 0;
  /** The large buffer's bytes have waited for a second. */
  #stuck = false;
  /** When the second began whose bytes are counted, and how many bytes there had been by then. */
  #secondMs = -Infinity;
  #secondBytes = 0;
  #blocked = false;
  #hearsDrain = false;
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
    const source = this.#source;
    const target = this.#target;
    source.reader = this;
    const writer = this.#sockets.writer(target);
    this.#writer = writer;
    this.bytes = first.length;
    if (first.length > 0) this.#spoken.last = this;
    this.ended = finished;
    const piece = header.length > 0 ? Buffer.concat([header, first]) : first;
    const isIdle = target.writableLength === 0;
    const taken = piece.length === 0 ? isIdle : (isIdle ? writer : target).write(piece);
    if (finished) this.#finish();
    // No read may land before the target has taken the piece: it would be written beside a write that is under way.
    if (!taken) {
      this.#block();
      source.socket.pause();
    }
  }

  buffer(): Uint8Array {
    return this.#own ?? this.#buffers.landing;
  }

  landed(count: number): boolean {
    const own = this.#own;
    if (own) return this.#pass(own.subarray(0, count));
    const buffers = this.#buffers;
    if (count === buffers.landing.length && this.#returns < MOST_RETURNS) this.#own = buffers.lend();
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
    // Only an end behind bytes may be a reset (`afterEnd`). Where the other direction had bytes last, this end came
    // alone.
    if (this.#spoken.last === this) afterEnd(this.#source.socket, () => this.#finish());
    else this.#finish();
  }

  /** Whether bytes wait for the target, which does not read. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /**
   * Whether bytes have moved since the last call: in from the source, or out to a target that reads slowly. To read a
   * clock at each message would be dearer. To be called about once a second; `nowMs` is `performance.now()`.
   */
  sweep(nowMs: number): boolean {
    this.#economise(nowMs);
    const queuedBytes = this.#blocked ? bytesQueued(this.#target) : 0;
    const moved =
      this.bytes !== this.#seenBytes || queuedBytes !== this.#seenQueuedBytes || this.ended !== this.#seenEnd;
    this.#seenBytes = this.bytes;
    this.#seenQueuedBytes = queuedBytes;
    this.#seenEnd = this.ended;
    return moved;
  }

  /** Gives the large buffer back where the landing buffer does as well. */
  #economise(nowMs: number): void {
    if (nowMs - this.#secondMs < SLOW_MS) return;
    const slow = this.#own !== undefined && this.bytes - this.#secondBytes < SLOW_BYTES;
    if (slow && this.#blocked) this.#stick(true);
    [this.#secondMs, this.#secondBytes] = [nowMs, this.bytes];
    // A blocked direction has a write under way in its buffer.
    if (!slow || this.#blocked || !this.#source.aim(this.#buffers.landing)) return;
    this.release();
    this.#returns++;
  }

  /** Gives the large buffer back; no read and no write may be under way in it. */
  release(): void {
    this.#stick(false);
    if (this.#own) this.#buffers.giveBack(this.#own);
    this.#own = undefined;
  }

  #stick(stuck: boolean): void {
    if (stuck === this.#stuck) return;
    this.#stuck = stuck;
    this.#buffers.stuck(stuck ? 1 : -1);
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
    if (!taken) this.#block();
    return taken;
  }

  /** Most directions are never blocked, and need no listener. */
  #block(): void {
    this.#blocked = true;
    if (this.#hearsDrain) return;
    this.#hearsDrain = true;
    this.#target.on('drain', () => this.#unblock());
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#stick(false);
    this.#source.socket.resume();
  }
}

/** Bytes that the kernel has not taken yet. */
function bytesQueued(socket: Socket): number {
  return (socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0;
}
