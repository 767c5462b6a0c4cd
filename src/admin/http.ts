import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** More clients at one time would take descriptors from the connections of registries' clients. */
const MOST_CONNECTIONS = 16;
/** How long a client may take to send its request. */
const REQUEST_MS = 5_000;
/** Without a byte in either direction. */
const SILENT_MS = 30_000;
const TOO_LATE = 'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n';

/** Answers HTTP requests on sockets that somebody else accepts. */
export class Http {
  readonly #server: Server;
  /** Who is connected, and the answer to what was asked. */
  readonly #answers = new Map<Socket, ServerResponse | undefined>();

  /** `answer` must not reject. */
  constructor(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    this.#server = createServer((request, response) => {
      this.#answers.set(request.socket, response);
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
    if (this.#answers.size >= MOST_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#answers.set(socket, undefined);
    // Node holds requests against a time limit only in a server that listens, which this one does not.
    const late = setTimeout(() => {
      const response = this.#answers.get(socket);
      if (response?.req.complete === true) return;
      if (response?.headersSent !== true) socket.write(TOO_LATE);
      socket.destroySoon();
    }, REQUEST_MS);
    socket.once('close', () => {
      clearTimeout(late);
      this.#answers.delete(socket);
    });
    this.#server.emit('connection', socket);
    socket.resume();
  }

  /** Answers nobody any more. */
  close(): void {
    for (const socket of this.#answers.keys()) socket.destroy();
  }
}
