import { Socket } from 'node:net';

type Done = (error?: Error | null) => void;
/** A write that has begun: it calls `done` when it is over. */
export type Begun = (done: Done) => void;

/**
 * A peer may answer and close without having read all that it was sent, as a registry does that turns an upload away.
 * Its kernel then resets the connection, and the next write fails, on which Node would end the socket with the answer
 * unread. Here the failure waits until all that has come was read; reading then ends by itself, unless the other side
 * takes no more.
 */
export class PatientSocket extends Socket {
  #done: Done | undefined;
  #begun: Begun | undefined;
  /** One for all writes: a stream has never more than one under way. */
  readonly #written = (error?: Error | null): void => {
    if (!error || this.readableEnded || this.destroyed || !this.#reads) return this.#done?.(error);
    const fail = (): void => {
      this.off('end', fail).off('close', fail);
      this.#done?.(error);
    };
    this.on('end', fail).on('close', fail);
  };

  /** `write`, where the writing of `chunk` has begun without the stream. No other write may be under way. */
  writeBegun(chunk: Uint8Array, begun: Begun): boolean {
    this.#begun = begun;
    return this.write(chunk);
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    this.#done = done;
    const begun = this.#begun;
    this.#begun = undefined;
    if (begun) begun(this.#written);
    else super._write(chunk, encoding, this.#written);
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    this.#done = done;
    super._writev?.(chunks, this.#written);
  }

  get #reads(): boolean {
    return !this.isPaused() && (this as unknown as { _handle: { reading: boolean } | null })._handle?.reading === true;
  }
}
