import type { Reader } from './sockets.ts';

const LANDING_BYTES = 64 << 10;
const BULK_BYTES = 1 << 20;
/** A message of a conversation; a copy of more costs more than the memory for it. */
const SMALL_BYTES = 2 << 10;
/** For each large buffer that may be in bulk transfer so many may be stuck beside it: memory has an end. */
const STUCK_BESIDE = 3;
/** Large buffers that nobody has needed for this long go back to the system. */
const SPARE_MS = 5_000;

export type BufferSizes = { readonly bulkBytes: number; readonly mostBulkBuffers: number };

/**
 * The memory that sockets read into: one landing buffer that all quiet directions share, and large buffers for those in
 * bulk transfer. Large reads are what makes a byte cheap; a buffer for each idle connection is what would make it dear.
 */
export class RelayBuffers {
  readonly landing = Buffer.allocUnsafeSlow(LANDING_BYTES);
  /** Reads a socket that has connected a moment ago, until a relay does: nothing can have come. */
  readonly unread: Reader = { buffer: () => this.landing, landed: () => false, received: () => false, finished() {} };
  #copies = new SmallCopies(this.landing);
  readonly #bulkBytes: number;
  readonly #most: number;
  #lent = 0;
  /** Of those that are lent, how many hold bytes for a peer that does not read. */
  #stuck = 0;
  /** Last in, first out: the one used last is still in the processor's cache. */
  readonly #idle: Buffer[] = [];
  /** The fewest that were idle at any moment since `#trimmedMs`. */
  #leastIdle = 0;
  #trimmedMs = -Infinity;

  constructor({ bulkBytes, mostBulkBuffers }: BufferSizes = { bulkBytes: BULK_BYTES, mostBulkBuffers: 128 }) {
    this.#bulkBytes = bulkBytes;
    this.#most = mostBulkBuffers;
  }

  /**
   * A copy of the first `count` bytes that have landed, to write from: the next reads of other sockets are aimed at the
   * landing buffer already. The copy lasts until the next is made, unless it is kept: a small write is over at once,
   * and needs no memory of its own.
   */
  copy(count: number): Buffer {
    return count <= SMALL_BYTES ? this.#copies.make(count) : Buffer.from(this.landing.subarray(0, count));
  }

  /** The last copy is needed for longer: nothing is written to its memory any more. */
  keep(copy: Buffer): void {
    if (copy.length <= SMALL_BYTES) this.#copies = new SmallCopies(this.landing);
  }

  /** A large buffer of the caller's own, or undefined where as many as may be are lent. */
  lend(): Buffer | undefined {
    if (this.#lent >= this.#most + Math.min(this.#stuck, STUCK_BESIDE * this.#most)) return undefined;
    this.#lent++;
    const buffer = this.#idle.pop() ?? releasable(this.#bulkBytes);
    this.#leastIdle = Math.min(this.#leastIdle, this.#idle.length);
    return buffer;
  }

  /** No socket may read into it any more, and no write point to it. */
  giveBack(buffer: Buffer): void {
    this.#lent--;
    this.#idle.push(buffer);
  }

  /**
   * A lent buffer is stuck, or is so no more: the kernel has not taken all of it for a while. It cannot be had back,
   * since a write under way points into it, and must not be missing to those whose peers read.
   */
  stuck(by: 1 | -1): void {
    this.#stuck += by;
  }

  /** The memory of large buffers, whether they are lent or idle. */
  get bulkBytes(): number {
    return (this.#lent + this.#idle.length) * this.#bulkBytes;
  }

  /** Gives the memory of idle buffers back to the system. To be called now and then; `nowMs` is `performance.now()`. */
  trim(nowMs: number): void {
    if (nowMs - this.#trimmedMs < SPARE_MS) return;
    // Those at the bottom were not needed all the time.
    for (const buffer of this.#idle.splice(0, this.#leastIdle)) (buffer.buffer as ResizableMemory).resize(0);
    this.#leastIdle = this.#idle.length;
    this.#trimmedMs = nowMs;
  }
}

type ResizableMemory = ArrayBuffer & { resize(bytes: number): void };
const Resizable = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => ResizableMemory;

/**
 * A buffer whose memory can be let go at once: a process that has nothing more to do collects no garbage, and would
 * keep the memory of its busiest moment.
 */
function releasable(bytes: number): Buffer {
  return Buffer.from(new Resizable(bytes, { maxByteLength: bytes }));
}

/** Copies of what begins `source`, one after another in the same place. */
class SmallCopies {
  readonly #source: Buffer;
  readonly #place = Buffer.allocUnsafeSlow(SMALL_BYTES);
  /** By length: to make the two views of it costs more than to copy a message. */
  readonly #views = Array.from<{ from: Buffer; to: Buffer } | undefined>({ length: SMALL_BYTES + 1 });

  constructor(source: Buffer) {
    this.#source = source;
  }

  make(count: number): Buffer {
    const { from, to } = (this.#views[count] ??= {
      from: this.#source.subarray(0, count),
      to: this.#place.subarray(0, count),
    });
    to.set(from);
    return to;
  }
}
