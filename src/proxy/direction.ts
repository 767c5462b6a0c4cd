import type { Socket } from 'node:net';
import type { RelayBuffers } from './buffers.ts';
import type { Reader, Writer } from './sockets.ts';

/** A direction that was quiet for this long gives its large buffer back. */
const QUIET_MS = 1_000;
/** What a client may send before its server is there. A ClientHello and the first request fit many times. */
const MOST_EARLY_BYTES = 64 << 10;
const NOTHING = Buffer.alloc(0);
/** libuv before 1.52 (Node 20) tells of a reset that comes behind unread bytes as of an end. */
const TELLS_RESETS = atLeast(process.versions.uv, 1, 52);

/** Which of two directions had bytes last. */
export type Spoken = { last: Direction | undefined };

/** Bytes from one socket to another, with backpressure. Before the target is there, the first ones are kept. */
export class Direction implements Reader {
  bytes = 0;
  /** The source has said that nothing more will come. */
  ended = false;
  /** Called whenever there is more to see in `early`. */
  onEarly: (() => void) | undefined;
  readonly #buffers: RelayBuffers;
  readonly #spoken: Spoken;
  #own: Buffer | undefined;
  /** When the large buffer was last read into, on the clock of `performance.now`. */
  #ownMs = 0;
  #source: Socket | undefined;
  #target: Socket | undefined;
  #writer: Writer | undefined;
  #early: Buffer = NOTHING;
  #blocked = false;
  #seenBytes = 0;
  #seenQueuedBytes = 0;
  #seenEnd = false;

  constructor(buffers: RelayBuffers, spoken: Spoken) {
    this.#buffers = buffers;
    this.#spoken = spoken;
  }

  from(source: Socket): void {
    this.#source = source;
    source.on('end', () => {
      this.ended = true;
      if (source.writableLength === 0 && (TELLS_RESETS || source.writableEnded)) this.#finish();
      else {
        // Writing fails after a reset: with ECONNRESET, or with EPIPE where an end did come before the reset. The error of what
        // waits, or of nothing, comes before the next turn, and the target is then to be reset, not ended.
        if (source.writableLength === 0) source.write(NOTHING);
        setImmediate(() => this.#finish());
      }
      this.onEarly?.();
    });
  }

  /** Tells the target that nothing more will come. */
  #finish(): void {
    const target = this.#target;
    // Both have finished: closing says so too, with a system call and an event less.
    if (target?.readableEnded === true && target.writableLength === 0) target.destroy();
    else target?.end();
  }

  /** What has come before the target was there. */
  get early(): Buffer {
    return this.#early;
  }

  /** Drops the first bytes of `early`: they were not meant for the target. */
  skip(count: number): void {
    this.#early = this.#early.subarray(count);
    this.bytes -= count;
    if (this.#early.length < MOST_EARLY_BYTES) this.#source?.resume();
  }

  /** Writes `header` and what has come so far, in one piece, and from now on all that comes. */
  to(target: Socket, writer: Writer, header: Buffer = NOTHING): void {
    this.#target = target;
    this.#writer = writer;
    target.on('drain', () => this.#unblock());
    const first = header.length > 0 ? Buffer.concat([header, this.#early]) : this.#early;
    this.#early = NOTHING;
    const taken = first.length === 0 ? target.writableLength === 0 : target.write(first);
    if (this.ended) target.end();
    this.#blocked = !taken;
    if (taken) this.#source?.resume();
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
    if (this.#target && count === buffers.landing.length) {
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

  /** Whether bytes wait for the target, which does not read. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /**
   * Whether anything has moved since the last call: in from the source, or out to a target that reads slowly. To read a clock at each
   * message would be dearer.
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

  #pass(chunk: Buffer): boolean {
    this.bytes += chunk.length;
    this.#spoken.last = this;
    if (!this.#writer) return this.#keep(chunk);
    const taken = this.#writer.write(chunk);
    this.#blocked = !taken;
    return taken;
  }

  #keep(chunk: Buffer): boolean {
    this.#early = Buffer.concat([this.#early, chunk]);
    this.onEarly?.();
    return this.#target ? !this.#blocked : this.#early.length < MOST_EARLY_BYTES;
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#source?.resume();
  }
}

/** Bytes that the kernel has not taken yet. */
function bytesQueued(socket: Socket | undefined): number {
  return (
    (socket as unknown as { _handle?: { writeQueueSize?: number } | null } | undefined)?._handle?.writeQueueSize ?? 0
  );
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
