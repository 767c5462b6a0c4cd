import { Socket } from 'node:net';
import type { Route } from '../../config/values.ts';
import { DirectWriter } from './direct-writer.ts';
import { PatientSocket } from './patient-socket.ts';

/**
 * Receives the bytes of one socket. Each call returns whether to go on reading; after false, `socket.resume()` does.
 */
export type Reader = {
  /** Where the next read may land; asked anew after each read. */
  buffer(): Uint8Array;
  /** `count` bytes have landed in what `buffer` last gave. They are the reader's only until it returns. */
  landed(count: number): boolean;
  /** Bytes that the reader may keep. */
  received(chunk: Buffer): boolean;
  /** The peer has said that nothing more will come. */
  finished(): void;
};

/** A socket, and who reads it now. A reader that takes over gets its first bytes where the former one wanted them. */
export class Wire {
  reader: Reader;
  readonly socket: Socket;

  /** `open` makes a socket whose bytes go to `wire.reader`. */
  constructor(reader: Reader, open: (wire: Wire) => Socket) {
    this.reader = reader;
    this.socket = open(this);
    this.socket.on('end', () => this.reader.finished());
  }

  /**
   * The next read lands in `buffer`, and not where the reader wanted it after the last read; false where it cannot be
   * aimed any more. Not to be called while a read is handed over. Costs some 50 bytes for as long as the socket lives,
   * so no caller may do it without bound.
   */
  aim(buffer: Uint8Array): boolean {
    const socket = this.socket as unknown as WithPlace;
    if (PLACE === undefined || !(PLACE in socket) || !socket._handle?.useUserBuffer) return false;
    socket._handle.useUserBuffer(buffer);
    socket[PLACE] = buffer;
    return true;
  }
}

type WithPlace = { [place: symbol]: unknown; _handle: { useUserBuffer?(buffer: Uint8Array): void } | null };

/** Where an `onread` socket remembers the buffer of its next read, which it would keep in memory otherwise. */
const PLACE = Object.getOwnPropertySymbols(
  new Socket({ onread: { buffer: Buffer.alloc(1), callback: () => true } } as object),
).find(({ description }) => description === 'kBuffer');

/** Writes to one socket: returns true when the kernel has taken everything; otherwise the socket's 'drain' follows. */
export type Writer = { write(chunk: Uint8Array): boolean };

/** A way to read and write sockets. Both ways give half-open sockets that do not delay small writes. */
export type Sockets = {
  readonly name: 'onread' | 'events';
  /**
   * Takes over a socket that a server accepted with `pauseOnConnect`, and reads it from now on; the given socket is not
   * to be used any more.
   */
  adopt(accepted: Socket, reader: Reader): Wire;
  connect(route: Route, reader: Reader): Wire;
  /** For a socket that has connected; to be used only while it has no write under way and has not been ended. */
  writer(socket: Socket): Writer;
};

/**
 * With a high-water mark of 0 `write()` returns true exactly when the kernel took everything, and 'drain' always
 * follows when it did not; with the usual mark a small asynchronous write returns true while it still points into our
 * buffer.
 */
const COMMON = { allowHalfOpen: true, writableHighWaterMark: 0 } as const;

/** Node 20: V8 11 gives a copy of an ordinary object a new hidden class each time. */
const COPIES_SLOWLY = Number.parseInt(process.versions.v8) < 12;

/**
 * Options for a `Socket`, whose constructor copies them. Where copies are slow no read of the copy is ever cached,
 * which is more than a tenth of a new connection's CPU; a copy of an object without prototype is not of that kind.
 * Elsewhere an object without prototype would cost a tenth.
 */
function socketOptions<O extends object>(options: O): O & typeof COMMON {
  return COPIES_SLOWLY ? { __proto__: null, ...COMMON, ...options } : { ...COMMON, ...options };
}

type WithHandle = { _handle: { reading: boolean } | null };

/** Filled in for each socket: since the constructor copies its options, one object does for all sockets. */
const adopting = socketOptions({ handle: null as WithHandle['_handle'], onread: null as Onread | null });
const dialling = socketOptions({ noDelay: true, onread: null as Onread | null });

/**
 * Reads into buffers of ours: no allocation and no event for each read. Accepted sockets have no such option, so their
 * handle moves to a new socket, as it does when Node passes a socket to a child process. The handle is not documented,
 * hence `probeOnread`.
 */
export const onreadSockets: Sockets = {
  name: 'onread',
  adopt(accepted, reader) {
    const holder = accepted as unknown as WithHandle;
    const handle = holder._handle;
    holder._handle = null;
    return new Wire(reader, (wire) => {
      adopting.handle = handle;
      adopting.onread = onread(wire);
      return new PatientSocket(adopting);
    });
  },
  connect(route, reader) {
    return new Wire(reader, (wire) => {
      dialling.onread = onread(wire);
      return connect(dialling, route);
    });
  },
  writer(socket) {
    return (socket instanceof PatientSocket && DirectWriter.for(socket)) || socket;
  },
};

/** To an IP literal: there is nothing to choose between. */
function connect(options: object, { host, port, localAddress }: Route): Socket {
  return new PatientSocket(options).connect({ host, port, localAddress, autoSelectFamily: false });
}

type Onread = { buffer: () => Uint8Array; callback: (count: number) => boolean };

function onread(wire: Wire): Onread {
  return { buffer: () => wire.reader.buffer(), callback: (count) => wire.reader.landed(count) };
}

/** Node's documented way: 'data' events, a new buffer for each read. */
export const eventSockets: Sockets = {
  name: 'events',
  adopt(accepted, reader) {
    return new Wire(reader, (wire) => listenForData(accepted, wire).resume());
  },
  connect(route, reader) {
    return new Wire(reader, (wire) => listenForData(connect(socketOptions({ noDelay: true }), route), wire));
  },
  writer(socket) {
    return socket;
  },
};

function listenForData(socket: Socket, wire: Wire): Socket {
  socket.on('data', (chunk: Buffer) => {
    if (!wire.reader.received(chunk)) socket.pause();
  });
  return socket;
}

/** libuv before 1.52 (Node 20) tells of a reset that comes behind unread bytes as of an end. */
const TELLS_RESETS = atLeast(process.versions.uv, 1, 52);
const NOTHING = Buffer.alloc(0);

/**
 * Calls back when a socket that has said 'end' has had the time to say that the end was a reset. To write fails after a
 * reset: with ECONNRESET, or with EPIPE if the peer sent FIN before RST. The error comes before the next turn of the
 * loop.
 */
export function afterEnd(socket: Socket, then: () => void): void {
  if (socket.writableLength === 0) {
    if (TELLS_RESETS || socket.writableEnded) return then();
    socket.write(NOTHING);
  }
  setImmediate(then);
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/**
 * The kernel asks a peer that has been silent for this long whether it is still there, once a second. After ten
 * questions without an answer the socket fails. Both numbers are libuv's. While the peer has data to acknowledge, the
 * kernel asks nothing, and sends the data again and again (tcp(7), tcp_retries2).
 */
export function keepAlive(socket: Socket, afterMs: number): void {
  // Node cuts to whole seconds, and 0 would be the two hours of the system.
  socket.setKeepAlive(true, Math.ceil(afterMs / 1_000) * 1_000);
}

/** Closes a socket so that the other end sees a reset, where that can be done. */
export function reset(socket: Socket): void {
  // A reset while the kernel is asked to send the end fails in Node with EINVAL and leaves the descriptor open for
  // ever.
  const ending = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  // A unix socket has no port and knows no reset: Node would throw.
  if (ending || socket.localPort === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
