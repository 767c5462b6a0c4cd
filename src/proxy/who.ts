import { buildProxyHeader } from '../pool/proxy-protocol.ts';
import type { Server } from '../pool/server.ts';
import type { Client } from './client.ts';
import type { Address } from './record.ts';

/** Who a connection is for. */
export type Who = {
  /** The advertised address where a PROXY header gave one; undefined on a unix socket. */
  readonly client: Address | undefined;
  /** What the client connected to, where a PROXY header says so. */
  readonly destination: Address | undefined;
  /** Whether the first bytes were a PROXY header. */
  readonly proxied: boolean;
};

/** The PROXY header that `server` is to get; undefined where it wants none. */
export function headerFor(server: Server, { client, destination }: Who, accepted: Client): Buffer | undefined {
  const { sendProxy: version } = server.config;
  if (version === 'none') return undefined;
  return buildProxyHeader(version, client, client && (destination ?? accepted.local));
}
