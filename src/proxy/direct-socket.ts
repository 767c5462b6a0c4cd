import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { PatientSocket } from './patient-socket.ts';

/** libuv's request for a write that must wait, as Node's handles take it. */
type WriteRequest = { buffer?: Uint8Array; oncomplete?: (status: number) => void };
type WriteHandle = {
  /** Writes what the kernel takes at once; `request` is used only where that is not all. Returns 0, or an error number of libuv. */
  writeBuffer(request: WriteRequest, chunk: Uint8Array): number;
  /** Bytes that wait for the kernel. */
  readonly writeQueueSize: number;
};

/**
 * Node does not export the class, but a socket shows its handle one. Undefined where this Node writes in another way: Node 26 makes
 * none for a write that is over at once, and needs no help.
 */
const WriteRequest = writeRequestClass();

function writeRequestClass(): (new () => WriteRequest) | undefined {
  let shown: object | undefined;
  const nothing = (): number => 0;
  const writeBuffer = (request: object): number => {
    shown = request;
    return 0;
  };
  const handle = { writeBuffer, readStop: nothing, close: nothing, getAsyncId: nothing, reading: false };
  const options: object = { handle, pauseOnCreate: true };
  try {
    new Socket(options).on('error', () => {}).write(Buffer.alloc(1));
  } catch {
    // This Node asks more of a handle.
    return undefined;
  }
  const { constructor } = shown ?? {};
  // libuv would be given what is none of its own.
  return constructor?.name === 'WriteWrap' ? (constructor as new () => WriteRequest) : undefined;
}

/**
 * The kernel takes most writes whole and at once. Those need none of a stream's bookkeeping, which costs more than all else that
 * is done in JavaScript for a small message: the stream hears only of a write that fails or must wait.
 */
export class DirectSocket extends PatientSocket {
  /** A request that no write uses. */
  #request: WriteRequest | undefined;
  /** A write that has begun before the stream knows of it, and what libuv said of it. */
  #begun: { readonly request: WriteRequest; readonly error: number } | undefined;

  /** @see send */
  send(chunk: Uint8Array): boolean {
    const handle = (this as unknown as { _handle: WriteHandle | null })._handle;
    if (!WriteRequest || !handle || this.connecting || this.writing) return this.write(chunk);
    const request = (this.#request ??= new WriteRequest());
    const error = handle.writeBuffer(request, chunk);
    if (error === 0 && handle.writeQueueSize === 0) return true;
    this.#request = undefined;
    this.#begun = { request, error };
    return this.write(chunk);
  }

  protected override begin(chunk: Uint8Array, encoding: BufferEncoding): void {
    const begun = this.#begun;
    this.#begun = undefined;
    if (!begun) return super.begin(chunk, encoding);
    if (begun.error !== 0) return this.written(writeError(begun.error));
    begun.request.buffer = chunk;
    begun.request.oncomplete = (status) => this.written(status < 0 && !this.destroyed ? writeError(status) : null);
  }
}

/** `write` of a socket that has not been ended: true when the kernel has taken everything; otherwise 'drain' follows. */
export function send(socket: Socket, chunk: Uint8Array): boolean {
  return socket instanceof DirectSocket ? socket.send(chunk) : socket.write(chunk);
}

function writeError(errno: number): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`write ${code}`), { errno, code, syscall: 'write' });
}
