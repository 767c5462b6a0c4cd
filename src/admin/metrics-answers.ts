import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Metrics } from '../metrics.ts';
import { notReady, type View } from '../view.ts';
import { Http } from './http.ts';

/** /metrics, /healthz and /readyz. They only read: whatever is not a GET is refused. */
export function metricsAnswers(view: View, metrics: Metrics): Http {
  return new Http((request, response) => answer(view, metrics, request, response));
}

async function answer(
  view: View,
  metrics: Metrics,
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
    const reason = notReady(view);
    return reason === undefined ? send(200, 'ready\n') : send(503, `not ready: ${reason}\n`);
  }
  if (path !== '/metrics') return send(404, 'there are /metrics, /healthz and /readyz\n');
  const { type, text } = await metrics.expose();
  return send(200, text, { 'content-type': type });
}
