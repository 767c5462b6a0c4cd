import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Bind } from '../config/values.ts';
import { listen, listeningAddress } from '../listen.ts';

export type MetricsParts = {
  /** The exposition and its content type. */
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>;
  /** Why clients should not be sent here now, or undefined. */
  readonly notReady: () => string | undefined;
};

/** However many scrapers there are, they leave descriptors to the connections. */
const MOST_CONNECTIONS = 16;
const REQUEST_MS = 5_000;
/** How often Node looks for requests that take too long; every 30 s if it is not told. */
const CHECKING_MS = 1_000;

/** /metrics, /healthz and /readyz. It only reads: whatever is not a GET is refused. */
export class MetricsServer {
  readonly #parts: MetricsParts;
  readonly #server: Server;

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    const limits = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECKING_MS };
    this.#server = createServer(limits, (request, response) => {
      void this.#answer(request, response);
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Resolves to where it listens. Rejects with a StartError. */
  async listen(bind: Bind): Promise<string> {
    await listen(this.#server, bind, 'metrics');
    return listeningAddress(this.#server);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer({ method, url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, text: string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers });
      response.end(method === 'HEAD' ? undefined : text);
    };
    if (method !== 'GET' && method !== 'HEAD') return send(405, 'only GET\n', { allow: 'GET, HEAD' });
    const path = url.split('?', 1)[0];
    if (path === '/healthz') return send(200, 'ok\n');
    if (path === '/readyz') {
      const reason = this.#parts.notReady();
      return reason === undefined ? send(200, 'ready\n') : send(503, `not ready: ${reason}\n`);
    }
    if (path !== '/metrics') return send(404, 'there are /metrics, /healthz and /readyz\n');
    const { type, text } = await this.#parts.metrics();
    return send(200, text, { 'content-type': type });
  }
}
