import type { Server } from '../pool/server.ts';
import type { Refusal } from './admission.ts';
import type { End } from './relay.ts';

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
  readonly via: Via | undefined;
  /** Connect attempts beyond the first. */
  readonly retries: number;
  /** Bytes client to server, and server to client. */
  readonly in: number;
  readonly out: number;
  /** Undefined where no server was connected. */
  readonly connectMs: number | undefined;
  readonly queueMs: number;
  readonly durationMs: number;
  readonly end: End;
};

/** How its server was found: by its binding, by the policy, or by the failure of another. */
export type Via = 'stuck' | 'balanced' | 'redispatched';

/** What the proxy tells the rest of the house. */
export type ProxyObserver = {
  refused(frontend: string, reason: Refusal, client: string): void;
  connected(server: Server, seconds: number): void;
  connectFailed(server: Server, reason: string): void;
  retried(backend: string, redispatched: boolean): void;
  ended(record: ConnectionRecord): void;
};
