import type { FrontendConfig } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import { parseProxyHeader } from '../pool/proxy-protocol.ts';
import { Access, ACCESS_REFUSALS, contains, networks, type Networks } from './access.ts';
import { parseClientHello, sniMatch } from './client-hello.ts';
import { peek } from './preface.ts';
import type { Relay } from './relay.ts';

/** An IP literal, normalised, and a port. */
export type Address = { readonly address: string; readonly port: number };

/** Why a connection was turned away: all but `proxy_header_forbidden` before a server was looked for. */
export const REFUSALS = [
  ...ACCESS_REFUSALS,
  'open_files',
  'max_connections',
  'proxy_header_invalid',
  'proxy_header_missing',
  'proxy_header_forbidden',
  'server_name_unknown',
  'client_left',
] as const;
export type Refusal = (typeof REFUSALS)[number];

export type Admitted = {
  readonly kind: 'admitted';
  /** Who the client is: the advertised address where a PROXY header gave one; undefined on a unix socket. */
  readonly client: Address | undefined;
  /** What it connected to, where a PROXY header says so. */
  readonly destination: Address | undefined;
  readonly serverName: string | undefined;
  readonly backend: Backend;
  /** Whether its first bytes were a PROXY header. */
  readonly proxied: boolean;
};
export type Refused = { readonly kind: 'refused'; readonly reason: Refusal; readonly client: Address | undefined };

export type Routes = {
  readonly backend: Backend | undefined;
  readonly sni: ReadonlyMap<string, Backend>;
};

/** That every name is there was checked with the configuration. */
export function routesOf({ backend, sni }: FrontendConfig, backends: ReadonlyMap<string, Backend>): Routes {
  const named = Object.entries(sni).flatMap(([pattern, name]) => {
    const target = backends.get(name);
    return target ? [[pattern.toLowerCase(), target] as const] : [];
  });
  return { backend: backend === undefined ? undefined : backends.get(backend), sni: new Map(named) };
}

/** The rules of a frontend: who may connect, who must say who it is, and where each connection goes. */
export class Admission {
  readonly access: Access;
  #config: FrontendConfig;
  #routes: Routes;
  #proxies: Networks;

  constructor(config: FrontendConfig, routes: Routes) {
    this.#config = config;
    this.#routes = routes;
    this.access = new Access(config);
    this.#proxies = networks(config.acceptProxy);
  }

  apply(config: FrontendConfig, routes: Routes): void {
    this.#config = config;
    this.#routes = routes;
    this.access.apply(config);
    this.#proxies = networks(config.acceptProxy);
  }

  /** Whether a peer must begin with a PROXY header; the rules are for the client that it names, not for itself. */
  mustAdvertise(peer: Address | undefined): boolean {
    return peer !== undefined && this.#config.acceptProxy.length > 0 && contains(this.#proxies, peer.address);
  }

  /**
   * Judges and routes, by the client's first bytes where they matter: only then is it a promise. An admitted client is counted
   * until `access.leave`.
   */
  admit(relay: Relay, peer: Address | undefined): Admitted | Refused | Promise<Admitted | Refused> {
    if (this.mustAdvertise(peer) || this.#routes.sni.size > 0) return this.#admitByPreface(relay, peer);
    const reason = peer && this.access.admit(peer.address);
    if (reason) return { kind: 'refused', reason, client: peer };
    return this.#route({ client: peer, destination: undefined, proxied: false }, undefined);
  }

  async #admitByPreface(relay: Relay, peer: Address | undefined): Promise<Admitted | Refused> {
    const deadlineMs = performance.now() + this.#config.prefaceTimeout;
    const proxied = this.mustAdvertise(peer);
    let client = peer;
    let destination: Address | undefined;
    if (proxied) {
      const header = await readHeader(relay, deadlineMs);
      if (typeof header === 'string') return { kind: 'refused', reason: header, client };
      // UNKNOWN and LOCAL are the proxy's own connections, such as its health checks.
      client = header.source ?? peer;
      destination = header.destination;
    }
    const refusal = client && this.access.admit(client.address);
    if (refusal) return { kind: 'refused', reason: refusal, client };
    const serverName = this.#routes.sni.size > 0 ? await readServerName(relay, deadlineMs) : undefined;
    if (relay.end !== undefined) return this.#turnedAway('client_left', client);
    return this.#route({ client, destination, proxied }, serverName);
  }

  #route(
    who: Pick<Admitted, 'client' | 'destination' | 'proxied'>,
    serverName: string | undefined,
  ): Admitted | Refused {
    const routed = serverName === undefined ? undefined : sniMatch(this.#routes.sni, serverName);
    const backend = routed ?? this.#routes.backend;
    if (backend) return { kind: 'admitted', ...who, serverName, backend };
    return this.#turnedAway('server_name_unknown', who.client);
  }

  #turnedAway(reason: Refusal, client: Address | undefined): Refused {
    if (client) this.access.leave(client.address);
    return { kind: 'refused', reason, client };
  }
}

type Header = Extract<ReturnType<typeof parseProxyHeader>, { kind: 'header' }>;

async function readHeader(relay: Relay, deadlineMs: number): Promise<Header | Refusal> {
  const look = (bytes: Buffer): Exclude<ReturnType<typeof parseProxyHeader>, { kind: 'more' }> | undefined => {
    const parsed = parseProxyHeader(bytes);
    return parsed.kind === 'more' ? undefined : parsed;
  };
  const seen = await peek(relay, look, deadlineMs);
  if (seen === 'left') return 'client_left';
  if (seen === 'timeout') return 'proxy_header_missing';
  if (seen.kind === 'invalid') return 'proxy_header_invalid';
  relay.skip(seen.length);
  return seen;
}

/** Undefined for a client that is not TLS, names nobody, or says nothing in time. */
async function readServerName(relay: Relay, deadlineMs: number): Promise<string | undefined> {
  const look = (bytes: Buffer): Exclude<ReturnType<typeof parseClientHello>, { kind: 'more' }> | undefined => {
    const parsed = parseClientHello(bytes);
    return parsed.kind === 'more' ? undefined : parsed;
  };
  const seen = await peek(relay, look, deadlineMs);
  return typeof seen === 'object' && seen.kind === 'hello' ? seen.serverName : undefined;
}
