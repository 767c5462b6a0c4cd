import { looksLikeProxyHeader, parseProxyHeader, type ProxyHeader } from '../../pool/proxy-protocol.ts';
import type { Client } from '../client.ts';
import { parseClientHello } from './client-hello.ts';

export const PREFACE_REFUSALS = [
  'proxy_header_invalid',
  'proxy_header_missing',
  'client_left',
  'client_silent',
] as const;
export type PrefaceRefusal = (typeof PREFACE_REFUSALS)[number];

type Header = Extract<ProxyHeader, { kind: 'header' }>;

/** Reads the PROXY header that the client must begin with, and drops it; or says why there is none. */
export async function readProxyHeader(client: Client, deadlineMs: number): Promise<Header | PrefaceRefusal> {
  const seen = await client.peek((bytes) => decided(parseProxyHeader(bytes)), deadlineMs);
  if (seen === 'left') return 'client_left';
  if (seen === 'timeout') return 'proxy_header_missing';
  if (seen.kind === 'invalid') return 'proxy_header_invalid';
  client.skip(seen.length);
  return seen;
}

/** Undefined for a client that is not TLS, names nobody, or says nothing in time. */
export async function readServerName(client: Client, deadlineMs: number): Promise<string | undefined> {
  const seen = await client.peek((bytes) => decided(parseClientHello(bytes)), deadlineMs);
  return typeof seen === 'object' && seen.kind === 'hello' ? seen.serverName : undefined;
}

/** Whether the client has sent a first byte, and not left without a word. */
export async function hasSpoken(client: Client): Promise<boolean> {
  return typeof (await client.peek((bytes) => (bytes.length > 0 ? HARMLESS : undefined), Infinity)) === 'object';
}

export type Verdict = { readonly isHeader: boolean };
export const HARMLESS: Verdict = { isHeader: false };

/** Whether a client's first bytes are a PROXY header; undefined while they are too few to tell. */
export function judge(first: Buffer): Verdict | undefined {
  const verdict = first.length === 0 ? 'maybe' : looksLikeProxyHeader(first);
  return verdict === 'maybe' ? undefined : { isHeader: verdict === 'yes' };
}

function decided<P extends { readonly kind: string }>(parsed: P): Exclude<P, { kind: 'more' }> | undefined {
  return parsed.kind === 'more' ? undefined : (parsed as Exclude<P, { kind: 'more' }>);
}
