import type { Backend } from '../pool/backend.ts';
import type { ConnectFailure } from '../pool/failures.ts';
import type { Server } from '../pool/server.ts';
import { ACCESS_REFUSALS } from './admission/access.ts';
import { PREFACE_REFUSALS } from './admission/preface.ts';
import type { ConnectionRecord, End } from './record.ts';

/** Why a connection was turned away: all but `proxy_header_forbidden` before a server was looked for. */
export const REFUSALS = [
  ...ACCESS_REFUSALS,
  ...PREFACE_REFUSALS,
  'open_files',
  'max_connections',
  'proxy_header_forbidden',
  'server_name_unknown',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** Why a client's first bytes have led to no backend. */
const NO_BACKEND = ['client_left', 'client_silent', 'server_name_unknown'] as const satisfies readonly Refusal[];
export type NoBackend = (typeof NO_BACKEND)[number];

export function isRefusal(end: End | NoBackend): end is NoBackend {
  return (NO_BACKEND as readonly string[]).includes(end);
}

/**
 * How a connection ends whose first bytes did not lead to a server. A connection that `allow`, `deny` or `perSource`
 * turns away has no record: floods are what such rules are for.
 */
export const PREFACE_ENDS: Partial<Record<Refusal, End>> = {
  proxy_header_missing: 'cR',
  proxy_header_invalid: 'PR',
  server_name_unknown: 'PR',
  client_left: 'CR',
};

/**
 * What the connections of one client in one backend do together. Numbers only, and no clock: each connection is in the
 * way of all bytes. Times are those of `performance.now`.
 */
export type Account = {
  /** A connection is joined to its server. */
  joined(server: Server): void;
  /** A connection has moved these bytes since it was looked at last. */
  moved(bytesIn: number, bytesOut: number, nowMs: number): void;
  /** A connection has ended, and had moved these bytes since it was looked at last. */
  left(bytesIn: number, bytesOut: number, nowMs: number): void;
};

/** What the proxy tells the rest of the house. */
export type ProxyObserver = {
  /** `client` as in a record. */
  refused(frontend: string, reason: Refusal, client: string): void;
  /** A connection has its backend; its account hears the rest. `client` is its key in the table, or `unix`. */
  arrived(backend: Backend, client: string, nowMs: number): Account;
  connected(server: Server, seconds: number): void;
  connectFailed(server: Server, reason: ConnectFailure['reason']): void;
  /** `redispatched`: to another server than before. */
  retried(backend: Backend, redispatched: boolean): void;
  /** `backend` is undefined where the first bytes led to none. */
  ended(record: ConnectionRecord, backend: Backend | undefined): void;
};
