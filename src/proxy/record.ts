import type { RelayEnd } from './relay/relay.ts';

/**
 * How a connection ended, as HAProxy writes it: who (`C` client, `S` server, `P` the proxy, by a rule, `R` resources,
 * `D` the server was marked down, `K` the operator, `c` and `s` their timeouts, `-` nobody), then when (`R` preface,
 * `Q` queue, `C` connect, `D` data, `L` last bytes to the client, `-` at its end).
 */
export type End = `${'C' | 'S' | 'P' | 'R' | 'D' | 'K' | 'c' | 's'}${Phase}` | '--';
export type Phase = 'R' | 'Q' | 'C' | 'D' | 'L';

/** How the server of a connection was found: by the client's binding, by the policy, or by the failure of another. */
export type Via = 'stuck' | 'balanced' | 'redispatched';

/** One connection, as the log and the counters have it. */
export type ConnectionRecord = {
  readonly frontend: string;
  /** Undefined where the first bytes led to none. */
  readonly backend: string | undefined;
  /** The server that was connected to, or last tried; undefined where there was none. */
  readonly server: string | undefined;
  /** `ip:port`, or `unix`. */
  readonly client: string;
  /** The TLS server name, where connections are routed by it. */
  readonly sni: string | undefined;
  /** `ip:port` of this machine towards the server, as its log names the client; undefined where none was connected. */
  readonly from: string | undefined;
  readonly via: Via | undefined;
  /** Connect attempts beyond the first. */
  readonly retries: number;
  /** Bytes client to server, and server to client. */
  readonly in: number;
  readonly out: number;
  /** Undefined where no server was connected. */
  readonly connectMs: number | undefined;
  readonly queueMs: number;
  /** How long it waited for other balancers; undefined where it did not. */
  readonly sharedMs: number | undefined;
  readonly durationMs: number;
  readonly end: End;
};

/** The phases of a connection that stands, in words. */
export const PHASES = {
  R: 'preface',
  Q: 'queue',
  C: 'connect',
  D: 'data',
  L: 'last-bytes',
} as const satisfies Record<Phase, string>;

/** A connection that stands, for those who look. Times are those of `performance.now`. */
export type Standing = {
  readonly id: number;
  readonly frontend: string;
  /** Undefined while the first bytes have led to none. */
  readonly backend: string | undefined;
  /** The server that it is joined to, or that is dialled. */
  readonly server: string | undefined;
  /** As in a record. */
  readonly client: string;
  /** The client in the stick table; undefined while it has no backend, and where nothing identifies it. */
  readonly key: string | undefined;
  readonly from: string | undefined;
  readonly sni: string | undefined;
  readonly phase: Phase;
  readonly startedMs: number;
  /** When a byte moved last, or the connection began. */
  readonly movedMs: number;
  /** Bytes so far, and a second. */
  readonly in: number;
  readonly out: number;
  readonly perSecond: { readonly in: number; readonly out: number };
};

/** How a relay's end is written. */
export function endOf(end: Exclude<RelayEnd, { kind: 'closed' }>): End {
  if (end.kind === 'finished') return '--';
  const phase = end.lastBytes ? 'L' : 'D';
  const side = end.side === 'client' ? 'C' : 'S';
  return end.kind === 'broken' ? `${side}${phase}` : side === 'C' ? `c${phase}` : `s${phase}`;
}

/** An IP literal, normalised, and a port. */
export type Address = { readonly address: string; readonly port: number };

/** `ip:port`, an IPv6 address in brackets, or `unix`. */
export function formatAddress(address: Address | undefined): string {
  if (!address) return 'unix';
  return address.address.includes(':') ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** Milliseconds to the microsecond. */
export function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
