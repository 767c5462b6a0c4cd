import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { PatientSocket } from './patient-socket.ts';

/** libuv's request for a write that is not over at once, as Node's handles take it. */
type WriteRequest = {
  buffer?: Uint8Array;
  oncomplete?: (status: number) => void;
  /** `UNUSED` until libuv has it in hand. */
  getAsyncId(): number;
};
type WriteHandle = {
  /**
   * Writes what the kernel takes at once; `request` is for the rest, if there is one. Returns 0, or an error number of
   * libuv.
   */
  writeBuffer(request: WriteRequest, chunk: Uint8Array): number;
};

const UNUSED = -1;

type WriteRequestClass = new () => WriteRequest;

/**
 * Node does not export the class, but a socket shows its handle one. Undefined where this Node writes in another way:
 * Node 26 makes none for a write that is over at once, and needs no help.
 */
function writeRequestClass(): WriteRequestClass | undefined {
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
    const { constructor } = shown ?? {};
    // libuv would be given what is none of its own.
    if (constructor?.name !== 'WriteWrap') return undefined;
    const Request = constructor as WriteRequestClass;
    return new Request().getAsyncId() === UNUSED ? Request : undefined;
  } catch {
    // This Node asks more of a handle.
    return undefined;
  }
}

class Requests {
  readonly #Request: WriteRequestClass;
  /** One that no write uses. */
  spare: WriteRequest;

  constructor(Request: WriteRequestClass) {
    this.#Request = Request;
    this.spare = new Request();
  }

  /** The spare one is in use. It never becomes a spare one again. */
  renew(): void {
    this.spare = new this.#Request();
  }
}

const Request = writeRequestClass();
const requests = Request && new Requests(Request);

/**
 * The kernel takes most writes whole and at once. Those need none of a stream's bookkeeping, which costs more than all
 * else that is done in JavaScript for a small message: the stream hears only of a write that fails or must wait.
 */
export class DirectWriter {
  readonly #socket: PatientSocket;
  readonly #handle: WriteHandle;
  readonly #requests: Requests;

  private constructor(socket: PatientSocket, handle: WriteHandle, of: Requests) {
    this.#socket = socket;
    this.#handle = handle;
    this.#requests = of;
  }

  /** Undefined where this Node does not let itself be written to in this way. `socket` has connected. */
  static for(socket: PatientSocket): DirectWriter | undefined {
    const handle = (socket as unknown as { _handle: WriteHandle | null })._handle;
    return requests && handle ? new DirectWriter(socket, handle, requests) : undefined;
  }

  /** `write` of the socket, which must not have been ended and must have no other write under way. */
  write(chunk: Uint8Array): boolean {
    const socket = this.#socket;
    const request = this.#requests.spare;
    const error = this.#handle.writeBuffer(request, chunk);
    // Not by what is left to write: libuv may have the request in hand though nothing is.
    if (error === 0 && request.getAsyncId() === UNUSED) return true;
    this.#requests.renew();
    request.buffer = chunk;
    return socket.writeBegun(chunk, (done) => {
      if (error !== 0) return done(writeError(error));
      request.oncomplete = (status) => done(status < 0 && !socket.destroyed ? writeError(status) : null);
    });
  }
}

function writeError(errno: number): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`write ${code}`), { errno, code, syscall: 'write' });
}
