import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Listeners } from '../listen.ts';
import { HttpAddress } from './http-address.ts';

export type MetricsParts = {
  /** The exposition and its content type. */
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>;
  /** Why clients should not be sent here now, or undefined. */
  readonly notReady: () => string | undefined;
};

/** /metrics, /healthz and /readyz. They only read: whatever is not a GET is refused. */
export function metricsServer(parts: MetricsParts, listeners: Listeners): HttpAddress {
  return new HttpAddress('metrics', listeners, (request, response) => answer(parts, request, response));
}

async function answer(
  parts: MetricsParts,
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, text: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers });
    response.end(method === 'HEAD' ? undefined : text);
  };
  if (method !== 'GET' && method !== 'HEAD') return send(405, 'only GET\n', { allow: 'GET, HEAD' });
  const path = url.split('?', 1)[0];
  if (path === '/healthz') return send(200, 'ok\n');
  if (path === '/readyz') {
    const reason = parts.notReady();
    return reason === undefined ? send(200, 'ready\n') : send(503, `not ready: ${reason}\n`);
  }
  if (path !== '/metrics') return send(404, 'there are /metrics, /healthz and /readyz\n');
  const { type, text } = await parts.metrics();
  return send(200, text, { 'content-type': type });
}
