import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { bindKey, type Bind } from '../config/values.ts';
import { listeningAddress, type Listeners } from '../listen.ts';

/** However many clients there are, they leave descriptors to the connections. */
const MOST_CONNECTIONS = 16;
const REQUEST_MS = 5_000;
/** Without a byte in either direction. */
const SILENT_MS = 30_000;
/** How often Node looks for requests that take too long; every 30 s if it is not told. */
const CHECKING_MS = 1_000;

/** A server that listens and is not in use yet. */
export type OpenedHttp = { readonly server: Server; readonly bind: Bind };

/** A small HTTP server whose address may change while it runs. */
export class HttpAddress {
  readonly #owner: string;
  readonly #listeners: Listeners;
  readonly #answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  #server: Server | undefined;
  #bind: Bind | undefined;

  /** `owner` is named in what goes wrong; `answer` must not reject. */
  constructor(
    owner: string,
    listeners: Listeners,
    answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  ) {
    this.#owner = owner;
    this.#listeners = listeners;
    this.#answer = answer;
  }

  /** Where it listens now. */
  get address(): string | undefined {
    return this.#server && listeningAddress(this.#server);
  }

  /** Listens on `bind` too, for `use`; undefined where it listens there already. Rejects with a StartError. */
  async open(bind: Bind): Promise<OpenedHttp | undefined> {
    if (this.#bind && bindKey(this.#bind) === bindKey(bind)) return undefined;
    const limits = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECKING_MS };
    const server = createServer(limits, (request, response) => {
      // One answer a connection: who reads slowly, or not at all, must not keep the others out.
      response.setHeader('connection', 'close');
      void this.#answer(request, response);
    });
    server.maxConnections = MOST_CONNECTIONS;
    // What is sent behind the first request is not looked at.
    server.maxRequestsPerSocket = 1;
    server.setTimeout(SILENT_MS);
    await this.#listeners.listen(server, bind, this.#owner);
    return { server, bind };
  }

  /** Listens there alone from now on. A request on its way, such as the one that asked for this, is still answered. */
  use({ server, bind }: OpenedHttp): void {
    this.#server?.close();
    this.#server = server;
    this.#bind = bind;
  }

  close(): void {
    if (this.#server) end(this.#server);
    this.#server = undefined;
    this.#bind = undefined;
  }
}

/** Listens no more, and answers nobody. */
export function end(server: Server): void {
  server.close();
  server.closeAllConnections();
}
