const LANDING_BYTES = 64 << 10;
const BULK_BYTES = 1 << 20;

export type BufferSizes = { readonly bulkBytes: number; readonly mostBulkBuffers: number };

/**
 * The memory that sockets read into: one landing buffer that all quiet directions share, and large buffers for those in bulk
 * transfer. Large reads are what makes a byte cheap; a buffer for each idle connection is what would make it dear.
 */
export class RelayBuffers {
  readonly landing = Buffer.allocUnsafeSlow(LANDING_BYTES);
  readonly #bulkBytes: number;
  readonly #most: number;
  #lent = 0;
  /** Last in, first out: the one used last is still in the processor's cache. */
  readonly #idle: Buffer[] = [];

  constructor({ bulkBytes, mostBulkBuffers }: BufferSizes = { bulkBytes: BULK_BYTES, mostBulkBuffers: 128 }) {
    this.#bulkBytes = bulkBytes;
    this.#most = mostBulkBuffers;
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
