import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { clientKey, normaliseAddress } from '../pool/client-key.ts';

/** More clients at one time would take descriptors from the connections of registries' clients. */
const MOST_CONNECTIONS = 16;
/** So that one client, however many connections it opens, leaves places to others. */
const MOST_OF_A_SOURCE = 8;
/** A host has as many addresses of its IPv6 network as it likes. */
const SOURCE = { ipv4: 32, ipv6: 64 };
/** How long a client may take to send its request. */
const REQUEST_MS = 5_000;
/** Without a byte in either direction. */
const SILENT_MS = 30_000;
const TOO_LATE = 'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n';

/** Answers that go on until somebody ends them have places of their own, beside those of requests. */
const MOST_STREAMS = 16;
const MOST_STREAMS_OF_A_SOURCE = 8;

/** A client that is connected: where from, and the answer to what it has asked. */
type Guest = { readonly source: string; response: ServerResponse | undefined };

/** Answers HTTP requests on sockets that somebody else accepts. */
export class Http {
  readonly #server: Server;
  /** Who is connected, the longest first. */
  readonly #guests = new Map<Socket, Guest>();
  /** Whose answer goes on, the longest first. */
  readonly #streams = new Map<Socket, Guest>();

  /** `answer` must not reject. */
  constructor(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    this.#server = createServer((request, response) => {
      const guest = this.#guests.get(request.socket);
      if (guest) guest.response = response;
      // One answer a connection: a client that reads slowly, or not at all, must not keep other clients out.
      response.setHeader('connection', 'close');
      void answer(request, response);
    });
    // Requests behind the first one are not looked at.
    this.#server.maxRequestsPerSocket = 1;
    this.#server.setTimeout(SILENT_MS);
  }

  /** Serves a paused socket. */
  take(socket: Socket): void {
    socket.on('error', () => {});
    const source = sourceOf(socket);
    if (!this.#makeRoom(source)) {
      socket.destroy();
      return;
    }
    const guest: Guest = { source, response: undefined };
    this.#guests.set(socket, guest);
    // Node holds requests against a time limit only in a server that listens, which this one does not.
    const late = setTimeout(() => {
      const { response } = guest;
      if (response?.req.complete === true) return;
      if (response?.headersSent !== true) socket.write(TOO_LATE);
      socket.destroySoon();
    }, REQUEST_MS);
    socket.once('close', () => {
      clearTimeout(late);
      this.#guests.delete(socket);
      this.#streams.delete(socket);
    });
    this.#server.emit('connection', socket);
    socket.resume();
  }

  /**
   * Gives a request, which is complete, a place among the answers that go on: it takes no place of requests any more,
   * and may be silent for as long as it likes. False where there is no place. Clients that do not read make room.
   */
  stream(response: ServerResponse): boolean {
    const { socket } = response.req;
    const guest = this.#guests.get(socket);
    if (!guest) return false;
    const all = [...this.#streams];
    const own = all.filter(([, { source }]) => source === guest.source);
    const crowd = own.length >= MOST_STREAMS_OF_A_SOURCE ? own : all;
    if (crowd === own || all.length >= MOST_STREAMS) {
      const [stuck] = crowd.find(([, stream]) => (stream.response?.writableLength ?? 0) > 0) ?? [];
      if (!stuck) return false;
      this.#streams.delete(stuck);
      stuck.destroy();
    }
    this.#guests.delete(socket);
    this.#streams.set(socket, guest);
    socket.setTimeout(0);
    return true;
  }

  /** Answers nobody any more. What was sent on a stream is read to its end. */
  close(): void {
    for (const socket of this.#guests.keys()) socket.destroy();
    for (const { response } of this.#streams.values()) response?.end();
  }

  /**
   * Whether there is a place for a newcomer. Where its source has all its places, or all places are taken, the client
   * goes that has been silent for longest: else whoever comes first and says nothing keeps everybody out. An answer
   * that is being worked out is never given up.
   */
  #makeRoom(source: string): boolean {
    const all = [...this.#guests];
    const own = all.filter(([, guest]) => guest.source === source);
    const crowd = own.length >= MOST_OF_A_SOURCE ? own : all;
    if (crowd === all && all.length < MOST_CONNECTIONS) return true;
    const [idle] = crowd.find(isSilent) ?? crowd.find(isAnswered) ?? [];
    if (!idle) return false;
    // Before it has closed: the newcomer has its place now.
    this.#guests.delete(idle);
    idle.destroy();
    return true;
  }
}

/** Whether the client still owes its request, or a part of that. */
function isSilent([, { response }]: readonly [Socket, Guest]): boolean {
  return response?.req.complete !== true;
}

/** Whether the client has only to read its answer. */
function isAnswered([, { response }]: readonly [Socket, Guest]): boolean {
  return response?.writableEnded === true;
}

/** Clients of a unix socket are one source. */
function sourceOf({ remoteAddress }: Socket): string {
  return remoteAddress === undefined ? '' : clientKey(normaliseAddress(remoteAddress), SOURCE);
}
