import type { IncomingMessage, ServerResponse } from 'node:http';
import { bodyOf, queryOf } from './asked.ts';
import { shortened } from './find.ts';
import { foreign, rebound, unauthorised } from './guard.ts';
import { Http } from './http.ts';
import { PAGE_HEADERS, readPages, type Page } from './pages.ts';
import { Listings } from './paging.ts';
import { Refusal, Streamed, type Reach, type Route } from './route.ts';
import { ROUTES } from './routes.ts';

/** What every path begins with. */
export const BASE = '/api/v1';

/** The operator's JSON API. Nothing is changed by a GET, nor by a web page that a browser on this machine has open. */
export function adminApi(reach: Reach, pages = readPages()): Http {
  const api = new AdminApi(reach, ROUTES, pages);
  const http = new Http(async (request, response) => {
    const outcome = await api.answer(request).catch((error: Error) => new Refusal(500, error.message));
    if (outcome instanceof PageFound) sendPage(response, outcome.page);
    else if (!(outcome instanceof Streamed)) send(response, outcome);
    else if (http.stream(response)) outcome.open(response);
    else send(response, new Refusal(503, TOO_MANY_STREAMS, { 'retry-after': '10' }));
  });
  return http;
}

const TOO_MANY_STREAMS = 'too many event streams are open: 16 in all, 8 of one client. End one';

/** The answer to a request for a file of the dashboard. */
class PageFound {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }
}

function sendPage(response: ServerResponse, { type, content }: Page): void {
  response.writeHead(200, { 'content-type': type, 'content-length': content.length, ...PAGE_HEADERS });
  response.end(content);
}

function send(response: ServerResponse, outcome: unknown): void {
  const { status, body, headers } = outcome instanceof Refusal ? outcome : { status: 200, body: outcome, headers: {} };
  const type = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' };
  response.writeHead(status, { ...type, 'cache-control': 'no-store', ...headers });
  response.end(`${JSON.stringify(body, null, 2)}\n`);
}

/** A path of the table, cut at its slashes, and the routes that have it, by method. */
type Place = { readonly segments: readonly string[]; readonly routes: ReadonlyMap<string, Route> };

class AdminApi {
  readonly #reach: Reach;
  readonly #places: readonly Place[];
  readonly #pages: ReadonlyMap<string, Page>;
  readonly #listings = new Listings();

  constructor(reach: Reach, table: readonly Route[], pages: ReadonlyMap<string, Page>) {
    this.#reach = reach;
    this.#pages = pages;
    const paths = [...new Set(table.map(({ path }) => path))];
    this.#places = paths.map((path) => ({
      segments: `${BASE}${path}`.split('/'),
      routes: new Map(table.filter((route) => route.path === path).map((route) => [route.method, route])),
    }));
  }

  /** What is to be sent: a Refusal, a Streamed, a PageFound, or the body of a 200. */
  async answer(request: IncomingMessage): Promise<unknown> {
    const { headers, method = '', url = '/' } = request;
    const { admin } = this.#reach.view.config;
    const cut = url.indexOf('?');
    const path = cut < 0 ? url : url.slice(0, cut);
    const page = this.#pages.get(path);
    if (page && method === 'GET') return rebound(headers, admin) ?? new PageFound(page);
    const refusal = foreign(headers, admin) ?? unauthorised(headers, admin);
    if (refusal) return refusal;
    if (page) return new Refusal(405, 'only GET', { allow: 'GET' });
    const segments = path.split('/');
    const place = this.#places.find((one) => fits(one.segments, segments));
    if (!place) return new Refusal(404, `there is no ${shortened(path)}`);
    const route = place.routes.get(method);
    if (!route) {
      const allowed = [...place.routes.keys()].join(', ');
      return new Refusal(405, `only ${allowed}`, { allow: allowed });
    }
    const query = queryOf(cut < 0 ? '' : url.slice(cut + 1), route.query);
    if (query instanceof Refusal) return query;
    const body = await bodyOf(request, route.body);
    if (body instanceof Refusal) return body;
    const params = paramsOf(place.segments, segments);
    const header = (name: string): string => String(headers[name] ?? '');
    // Before the answer, which may wait for a client that does not read: who asks is gone by then.
    const who = whoAsks(request);
    const listings = this.#listings;
    const outcome = await route.handle({ ...this.#reach, listings, params, query, body, header, who });
    if (route.changes(query)) this.#record(who, method, url, body, outcome);
    return outcome;
  }

  #record(who: string, method: string, path: string, body: unknown, outcome: unknown): void {
    const refusal = outcome instanceof Refusal ? outcome : undefined;
    this.#reach.log.tell('operator', {
      who,
      method,
      path: shortened(path),
      asked: typeof body === 'object' && body !== null ? JSON.stringify(body) : undefined,
      status: refusal?.status ?? 200,
      reason: refusal && 'error' in refusal.body ? String(refusal.body.error) : undefined,
    });
  }
}

/** `address:port` of whoever asks, or `unix`: Node does not say which user is at the other end of a unix socket. */
function whoAsks({ socket: { remoteAddress, remotePort } }: IncomingMessage): string {
  if (remoteAddress === undefined) return 'unix';
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}

const nameIn = (segment: string): string | undefined => /^\{(.+)\}$/.exec(segment)?.[1];

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((part, i) => (nameIn(part) === undefined ? part === segments[i] : segments[i] !== ''));
}

/** Decoded after the cut, so that %2F is a letter of a name. */
function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> {
  const named = pattern.flatMap((part, i) => {
    const name = nameIn(part);
    return name === undefined ? [] : [[name, decoded(segments[i] ?? '')] as const];
  });
  return Object.fromEntries(named);
}

/** A part that is not valid URL encoding stays as it is, and then names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
