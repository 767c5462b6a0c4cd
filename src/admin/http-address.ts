import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Bind } from '../config/values.ts';
import { listen, listeningAddress } from '../listen.ts';

/** However many clients there are, they leave descriptors to the connections. */
const MOST_CONNECTIONS = 16;
const REQUEST_MS = 5_000;
/** How often Node looks for requests that take too long; every 30 s if it is not told. */
const CHECKING_MS = 1_000;

/** A small HTTP server whose address may change while it runs. */
export class HttpAddress {
  readonly #owner: string;
  readonly #answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  #server: Server | undefined;
  #bind: Bind | undefined;

  /** `owner` is named in what goes wrong; `answer` must not reject. */
  constructor(owner: string, answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    this.#owner = owner;
    this.#answer = answer;
  }

  /** Where it listens now. */
  get address(): string | undefined {
    return this.#server && listeningAddress(this.#server);
  }

  /** Listens there, then no longer where it did; resolves to whether that is new. Rejects with a StartError. */
  async listen(bind: Bind): Promise<boolean> {
    if (this.#bind?.text === bind.text) return false;
    const limits = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECKING_MS };
    const server = createServer(limits, (request, response) => {
      void this.#answer(request, response);
    });
    server.maxConnections = MOST_CONNECTIONS;
    await listen(server, bind, this.#owner);
    this.close();
    this.#server = server;
    this.#bind = bind;
    return true;
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
    this.#bind = undefined;
  }
}
