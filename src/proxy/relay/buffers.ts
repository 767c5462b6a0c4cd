import type { Reader } from './sockets.ts';

const LANDING_BYTES = 64 << 10;
const BULK_BYTES = 1 << 20;
/** A message of a conversation; a copy of more costs more than the memory for it. */
const SMALL_BYTES = 2 << 10;

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
  /** Last in, first out: the one used last is still in the processor's cache. */
  readonly #idle: Buffer[] = [];

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
    if (this.#lent >= this.#most) return undefined;
    this.#lent++;
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bulkBytes);
  }

  /** No socket may read into it any more, and no write point to it. */
  giveBack(buffer: Buffer): void {
    this.#lent--;
    this.#idle.push(buffer);
  }
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
