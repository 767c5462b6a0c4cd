import { timingSafeEqual, createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { NotFound, type Control } from '../control.ts';
import { ADMIN_STATES } from '../pool/server.ts';
import type { View } from '../view.ts';
import { Http } from './http.ts';

const LARGEST_BODY_BYTES = 16 << 10;

type Reply = { readonly status: number; readonly body: object; readonly headers?: Record<string, string> };

/** The operator's JSON API. Nothing is changed by a GET, nor by a web page that a browser on this machine has open. */
export function adminApi(view: View, control: Control): Http {
  const api = new AdminApi(view, control);
  return new Http(async (request, response) => {
    const { status, body, headers } = await api.answer(request).catch((error: Error): Reply => ({
      status: 500,
      body: { error: error.message },
    }));
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
    response.end(`${JSON.stringify(body, null, 2)}\n`);
  });
}

class AdminApi {
  readonly #view: View;
  readonly #control: Control;

  constructor(view: View, control: Control) {
    this.#view = view;
    this.#control = control;
  }

  async answer(request: IncomingMessage): Promise<Reply> {
    const refusal = this.#refusal(request);
    if (refusal) return refusal;
    const { method = '', url = '/' } = request;
    const [pathname = '', query] = url.split('?', 2);
    const searchParams = new URLSearchParams(query);
    const [, backend, server] = /^\/api\/v1\/servers\/([^/]+)\/([^/]+)$/.exec(pathname)?.map(decoded) ?? [];
    if (backend !== undefined && server !== undefined) {
      if (method !== 'PUT') return only('PUT');
      const body = await readBody(request);
      if (body === TOO_LARGE) return { status: 413, body: { error: `more than ${LARGEST_BODY_BYTES} bytes` } };
      return this.#setState(backend, server, body);
    }
    switch (pathname) {
      case '/api/v1/status':
        return method === 'GET' ? { status: 200, body: this.#control.status() } : only('GET');
      case '/api/v1/explain': {
        const ip = searchParams.get('ip') ?? '';
        if (method !== 'GET') return only('GET');
        return isIP(ip) === 0 ? bad(`ip=${ip} is not an IP address`) : { status: 200, body: this.#control.explain(ip) };
      }
      case '/api/v1/reload': {
        if (method !== 'POST') return only('POST');
        const problems = await this.#control.reload();
        return problems.length === 0 ? { status: 200, body: { reloaded: true } } : { status: 422, body: { problems } };
      }
      default:
        return { status: 404, body: { error: `there is no ${pathname}` } };
    }
  }

  #setState(backend: string, server: string, body: unknown): Reply {
    const wanted = typeof body === 'object' && body !== null && 'state' in body ? body.state : undefined;
    const state = ADMIN_STATES.find((one) => one === wanted);
    if (!state) return bad(`expected {"state": …} with one of ${ADMIN_STATES.join(', ')}`);
    try {
      return { status: 200, body: this.#control.setState(backend, server, state) };
    } catch (error) {
      if (error instanceof NotFound) return { status: 404, body: { error: error.message } };
      throw error;
    }
  }

  #refusal({ headers }: IncomingMessage): Reply | undefined {
    const forbid = (error: string): Reply => ({ status: 403, body: { error } });
    // A browser that shows a page of another site sends the Origin of that site. A page whose name was rebound to this
    // address (DNS rebinding) sends that name as Host.
    if (headers.origin !== undefined && headers.origin !== `http://${headers.host ?? ''}`)
      return forbid('foreign Origin');
    const { token, tokenFile } = this.#view.config.admin ?? {};
    const secret = token ?? tokenFile?.content;
    if (secret === undefined) {
      const host = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
      return host === 'localhost' || isIP(host) !== 0 ? undefined : forbid(`Host must be an IP address or localhost`);
    }
    const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
    if (sameSecret(given, secret)) return undefined;
    const challenge = { 'www-authenticate': 'Bearer realm="berth"' };
    return { status: 401, body: { error: 'the token is missing or wrong' }, headers: challenge };
  }
}

/** Compares in constant time, whatever the lengths. */
function sameSecret(given: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}

const TOO_LARGE = Symbol('too large');

/** The body as JSON; undefined if the body is not JSON. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Reads on past the limit and keeps nothing, since a client that is still sending does not see an answer.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= LARGEST_BODY_BYTES) chunks.push(chunk);
  }
  if (bytes > LARGEST_BODY_BYTES) return TOO_LARGE;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** A part that is not valid URL encoding stays as it is, and then names no server. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function only(method: string): Reply {
  return { status: 405, body: { error: `only ${method}` }, headers: { allow: method } };
}

function bad(error: string): Reply {
  return { status: 400, body: { error } };
}
