import { Socket } from 'node:net';

type Done = (error?: Error | null) => void;
/** A write that has begun: it calls `done` when it is over. */
export type Begun = (done: Done) => void;

/**
 * A peer may answer and close without having read all that it was sent, as a registry does that turns an upload away.
 * Its kernel then resets the connection, and the next write fails, on which Node would end the socket with the answer
 * unread. Here the failure waits until all that has come was read; reading then ends by itself. If the other side is
 * slow to take what has come, the socket is paused meanwhile, and the failure waits for as long: the relay's idle
 * timeout is the bound. If a write to the other side has failed before, nobody takes the answer, and the failure does
 * not wait.
 */
export class PatientSocket extends Socket {
  #other: PatientSocket | undefined;
  /** A write has failed. */
  hasFailed = false;
  #done: Done | undefined;
  #begun: Begun | undefined;
  /** Made with the first write, and one for all: a stream has never more than one under way. */
  #written: Done | undefined;

  /** What is read from one of two sockets is for the other. */
  static pair(a: Socket, b: Socket): void {
    if (!(a instanceof PatientSocket && b instanceof PatientSocket)) return;
    a.#other = b;
    b.#other = a;
  }

  /** `write`, where the writing of `chunk` has begun without the stream. No other write may be under way. */
  writeBegun(chunk: Uint8Array, begun: Begun): boolean {
    this.#begun = begun;
    return this.write(chunk);
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    this.#done = done;
    const written = (this.#written ??= (error) => this.#over(error));
    const begun = this.#begun;
    this.#begun = undefined;
    if (begun) begun(written);
    else super._write(chunk, encoding, written);
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    this.#done = done;
    super._writev?.(chunks, (this.#written ??= (error) => this.#over(error)));
  }

  #over(error?: Error | null): void {
    if (!error || this.readableEnded || this.destroyed || this.#other?.hasFailed === true) return this.#done?.(error);
    this.hasFailed = true;
    const fail = (): void => {
      this.off('end', fail).off('close', fail);
      this.#done?.(error);
    };
    this.on('end', fail).on('close', fail);
  }
}
