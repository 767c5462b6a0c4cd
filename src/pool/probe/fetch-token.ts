import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { printable } from '../../config/locate.ts';
import { connectFailure } from '../failures.ts';
import type { Lookup } from '../resolve.ts';
import { exchange, type Answer, type Inquiry } from './exchange.ts';
import { handshakeFault, httpFault, inWords, tlsFault } from './faults.ts';
import { identityFault, shakeHands } from './secure.ts';

/**
 * What a token server is asked for. As docker does it, the credentials go wherever the node sends its clients, over
 * https to a server whose certificate is trusted, or in clear where the realm is http.
 */
export type TokenOrder = {
  /** As the node wrote it: a stranger's text. */
  readonly realm: string;
  readonly service: string | undefined;
  /** Such as `repository:library/probe:pull`. */
  readonly scope: string;
  /** Without credentials, a token for anybody is asked for. */
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
};

/** How a token server is reached. */
export type TokenRoute = {
  /** The authorities that the token server's certificate must be signed by. Called where the realm is https. */
  readonly trust: () => SecureContext;
  readonly lookup: Lookup;
  readonly agent: Inquiry['agent'];
};

/** `lifeMs` counts from the question. The reasons are in words for an operator, and hold no secret. */
export type Fetched =
  | { readonly kind: 'token'; readonly token: string; readonly lifeMs: number }
  /** It does not accept the credentials. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The token server, or what the node says of it, is at fault. */
  | { readonly kind: 'failed'; readonly reason: string; readonly status?: number };

/** A token has some kilobytes. */
const LARGEST_BODY_BYTES = 64 << 10;
/** What a token server means that does not say how long its token lives (distribution: spec/auth/token.md). */
const STANDARD_LIFE_S = 60;
const LONGEST_REALM = 200;

/** Asks for a token, once. Ends at the latest when `signal` aborts, and never rejects. */
export async function fetchToken(order: TokenOrder, route: TokenRoute, signal: AbortSignal): Promise<Fetched> {
  const failed = (why: string): Fetched => ({ kind: 'failed', reason: why });
  const realm = realmUrl(order.realm);
  if (typeof realm === 'string') return failed(realm);
  const server = `the token server at ${printable(`${realm.origin}${realm.pathname}`.slice(0, LONGEST_REALM))}`;
  try {
    const answer = await ask(realm, order, route, signal);
    return judge(server, answer, order.credentials !== undefined);
  } catch (error) {
    return failed(signal.aborted ? `${server} did not answer in time` : `${server}: ${faultOf(error as Error)}`);
  }
}

/** The URL of a realm, or what is wrong with the realm. */
function realmUrl(text: string): URL | string {
  const shown = printable(text.slice(0, LONGEST_REALM));
  if (!URL.canParse(text)) return `the node sends its clients for a token to "${shown}", which is no URL`;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return `the node sends its clients for a token to ${printable(url.protocol)}, which is neither https nor http`;
  if (url.username !== '' || url.password !== '') return 'the node sends its clients for a token to a URL with a user';
  return url;
}

async function ask(realm: URL, order: TokenOrder, route: TokenRoute, signal: AbortSignal): Promise<Answer> {
  const { service, scope, credentials } = order;
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.append('service', service);
  url.searchParams.append('scope', scope);
  const login = credentials && Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
  const socket = await open(url, route, signal);
  try {
    const inquiry: Inquiry = {
      path: `${url.pathname}${url.search}`,
      host: url.host,
      agent: route.agent,
      authorization: login && `Basic ${login}`,
      mostBytes: (status) => (status === 200 ? LARGEST_BODY_BYTES : 0),
    };
    return await exchange(socket, inquiry, signal);
  } finally {
    socket.destroy();
  }
}

/** Over https, the peer has proved to be the one that the URL names. */
async function open(url: URL, { lookup, trust }: TokenRoute, signal: AbortSignal): Promise<Socket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const socket = await reach(isIP(host) === 0 ? await resolve(host, lookup, signal) : [host], port, signal);
  if (!secure) return socket;
  const over = await shakeHands(socket, { name: host, secureContext: trust() }, signal).catch((error: Error) => {
    throw signal.aborted ? error : new Told(inWords(handshakeFault(error, false)), { cause: error });
  });
  const fault = identityFault(over, host);
  if (!fault) return over;
  over.destroy();
  throw new Told(inWords(fault));
}

/** What is wrong is told by the message, in words. */
class Told extends Error {}

async function resolve(host: string, lookup: Lookup, signal: AbortSignal): Promise<readonly string[]> {
  return lookup(host, signal).catch((error: Error) => {
    throw new Told(`its name does not resolve: ${error.message}`, { cause: error });
  });
}

/** The first address that answers: a token server behind two addresses may have a dead one. */
async function reach(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  let last: unknown;
  for (const host of addresses) {
    const socket = connectTcp({ host, port, autoSelectFamily: false, signal });
    try {
      await once(socket, 'connect');
      // Whoever reads the socket gets its errors; an error after the last read must not end the process.
      socket.on('error', () => {});
      return socket;
    } catch (error) {
      socket.destroy();
      last = new Told(connectFailure(error as NodeJS.ErrnoException).text, { cause: error });
    }
  }
  throw last ?? new Told('its name has no address');
}

function faultOf(error: Error): string {
  if (error instanceof Told) return error.message;
  const fault = httpFault(error) ?? tlsFault(error, false);
  return fault ? inWords(fault) : 'the connection failed';
}

function judge(server: string, { status, body, whole }: Answer, withUser: boolean): Fetched {
  if (status === 401 || status === 403) {
    const whom = withUser ? 'refuses the user' : 'gives no token without a user';
    return { kind: 'refused', reason: `${server} ${whom} (${status})` };
  }
  if (status >= 300 && status < 400)
    return { kind: 'failed', reason: `${server} answered ${status}, and Berth takes the password nowhere else` };
  if (status !== 200) return { kind: 'failed', reason: `${server} answered ${status}; its log says why`, status };
  return (whole ? tokenOf(body) : undefined) ?? { kind: 'failed', reason: `${server} answered 200 without a token` };
}

/** The token and its life (distribution: spec/auth/token.md); undefined where the body has no token. */
function tokenOf(body: Buffer): Fetched | undefined {
  let told: Readonly<Record<string, unknown>> | null;
  try {
    told = JSON.parse(body.toString()) as Readonly<Record<string, unknown>> | null;
  } catch {
    return undefined;
  }
  const token = told?.['token'] || told?.['access_token'];
  // What a header may carry (RFC 6750 section 2.1), so that no server writes a header of its own.
  if (typeof token !== 'string' || !/^[A-Za-z0-9._~+/=-]+$/.test(token)) return undefined;
  const life = Number(told?.['expires_in'] ?? STANDARD_LIFE_S);
  return { kind: 'token', token, lifeMs: (life > 0 ? life : STANDARD_LIFE_S) * 1_000 };
}
