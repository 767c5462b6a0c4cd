import { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/**
 * A peer may answer and close without having read all that it was sent, as a registry does that turns an upload away. Its kernel
 * then resets the connection, and the next write fails, on which Node would end the socket with the answer unread. Here the
 * failure waits until all that has come was read; reading then ends by itself, unless the other side takes no more.
 */
export class PatientSocket extends Socket {
  /** What to call when the stream's write is over; a stream has never more than one under way. */
  #done: Done | undefined;

  /** A write of the stream is under way. */
  protected get writing(): boolean {
    return this.#done !== undefined;
  }

  /** One for all writes. */
  protected readonly written = (error?: Error | null): void => {
    if (!error || this.readableEnded || this.destroyed || !this.#reads) return this.#settle(error);
    const fail = (): void => {
      this.off('end', fail).off('close', fail);
      this.#settle(error);
    };
    this.on('end', fail).on('close', fail);
  };

  /** Begins the stream's write; `written` is called when it is over. */
  protected begin(chunk: Uint8Array, encoding: BufferEncoding): void {
    super._write(chunk, encoding, this.written);
  }

  override _write(chunk: Uint8Array, encoding: BufferEncoding, done: Done): void {
    this.#done = done;
    this.begin(chunk, encoding);
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    this.#done = done;
    super._writev?.(chunks, this.written);
  }

  #settle(error?: Error | null): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }

  get #reads(): boolean {
    return !this.isPaused() && (this as unknown as { _handle: { reading: boolean } | null })._handle?.reading === true;
  }
}
