import type { Config, FrontendConfig, Timeouts } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import { accessRules, type AccessRules } from './admission/access.ts';
import { sniMatch } from './admission/client-hello.ts';
import { contains, networks, type Networks } from './admission/networks.ts';

/**
 * A frontend's part of a generation: what its connections are served under. Each connection keeps the terms that it
 * began under, to its end.
 */
export type Terms = {
  readonly config: FrontendConfig;
  readonly timeouts: Timeouts;
  /** Most connections at one time, in all frontends together. */
  readonly capacity: number;
  readonly access: AccessRules;
  /** Those who must begin with a PROXY header. */
  readonly proxies: Networks | undefined;
  readonly backend: Backend | undefined;
  /** Backends by server name or wildcard, in lower case. */
  readonly sni: ReadonlyMap<string, Backend>;
};

/** Names that are missing in `backends` are left out: the configuration was checked. */
export function termsOf(
  frontend: FrontendConfig,
  { timeouts }: Config,
  capacity: number,
  backends: ReadonlyMap<string, Backend>,
): Terms {
  const sni = Object.entries(frontend.sni).flatMap(([pattern, name]) => {
    const backend = backends.get(name);
    return backend ? [[pattern.toLowerCase(), backend] as const] : [];
  });
  return {
    config: frontend,
    timeouts,
    capacity,
    access: accessRules(frontend),
    proxies: frontend.acceptProxy.length > 0 ? networks(frontend.acceptProxy) : undefined,
    backend: frontend.backend === undefined ? undefined : backends.get(frontend.backend),
    sni: new Map(sni),
  };
}

/** Whether the peer at this address must begin with a PROXY header; undefined is a unix socket. */
export function mustAdvertise({ proxies }: Terms, address: string | undefined): boolean {
  return proxies !== undefined && address !== undefined && contains(proxies, address);
}

/** The backend of a client that has sent this server name; undefined if there is none. */
export function routeFor({ sni, backend }: Terms, serverName: string | undefined): Backend | undefined {
  return (serverName === undefined ? undefined : sniMatch(sni, serverName)) ?? backend;
}
