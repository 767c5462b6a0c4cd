import type { BackendConfig, HealthCheckConfig, ServerConfig } from '../config/schema.ts';
import { isIP } from 'node:net';
import { formatDiscovered, formatEndpoint, type Discovered, type Endpoint, type Route } from '../config/values.ts';
import type { Found } from './discovery.ts';
import type { Failing, Named } from './named.ts';

/** All that a server needs to know: its own options, and those of its backend that it does not override. */
export type ServerTerms = Omit<ServerConfig, 'address' | 'sendProxy' | 'resolveInterval'> & {
  readonly address: Endpoint;
  readonly sendProxy: BackendConfig['sendProxy'];
  readonly resolveInterval: number;
  /** Addresses of this machine to connect from. */
  readonly source: readonly string[];
  readonly healthCheck: HealthCheckConfig | false;
  /** The name that DNS gave this address for: a certificate is for that. */
  readonly foundAs?: string;
};

/** What a probe is asked of a server at `endpoint`: the address, the name and the PROXY header of its checks. */
export function probed(
  { address, foundAs = address.host, sendProxy }: ServerTerms,
  check: HealthCheckConfig,
  endpoint: Route,
): [Route, string, HealthCheckConfig, ServerTerms['sendProxy']] {
  if (check.port === 'same') return [endpoint, foundAs, check, sendProxy];
  // What listens at another port is not what clients are sent to.
  return [{ ...endpoint, port: check.port }, foundAs, check, 'none'];
}

/** A question for DNS; its `key` is the same in two configurations where the question is. */
export type Question = { readonly key: string; readonly address: Discovered; readonly intervalMs: number };

const questionKey = (name: string, address: Discovered): string => JSON.stringify([name, address]);

/** What a configuration asks DNS for. */
export function questions({ servers, resolveInterval: standard }: BackendConfig): Question[] {
  return Object.entries(servers).flatMap(([name, { address, resolveInterval }]) =>
    'discover' in address
      ? [{ key: questionKey(name, address), address, intervalMs: resolveInterval ?? standard }]
      : [],
  );
}

/**
 * The servers by name: one for each entry, or for each address that DNS has found for the entry, called after that
 * address. `answers` is what DNS has said, by the key of the question.
 */
export function wanted(
  backend: BackendConfig,
  answers: ReadonlyMap<string, { readonly found: readonly Found[] }>,
): Map<string, ServerTerms> {
  const servers = new Map<string, ServerTerms>();
  for (const [name, own] of Object.entries(backend.servers)) {
    const { address } = own;
    const terms = {
      ...own,
      sendProxy: own.sendProxy ?? backend.sendProxy,
      resolveInterval: own.resolveInterval ?? backend.resolveInterval,
      source: backend.source,
      healthCheck: backend.healthCheck,
    };
    if (!('discover' in address)) {
      servers.set(name, { ...terms, address });
      continue;
    }
    const found = answers.get(questionKey(name, address))?.found ?? [];
    const named = found.map((one) => [`${name}-${formatEndpoint(one)}`, one] as const);
    for (const [called, { host, port, name: foundAs }] of named.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      // An entry may be called as an address that is found for another entry would be.
      if (!Object.hasOwn(backend.servers, called)) servers.set(called, { ...terms, address: { host, port }, foundAs });
    }
  }
  return servers;
}

/** Whether a server has no name to wait for, and takes clients. */
export function servesAtOnce({ servers }: BackendConfig): boolean {
  return Object.values(servers).some(
    ({ address, weight }) => weight > 0 && !('discover' in address) && isIP(address.host) !== 0,
  );
}

/** The names in a configuration, each with what its discovery or its server has heard of it. */
export function namesOf(
  backend: string,
  config: BackendConfig,
  answers: ReadonlyMap<string, { readonly found: readonly Found[]; readonly failing: Failing | undefined }>,
  inForce: readonly { readonly name: string; readonly endpoint: unknown; readonly failing: Failing | undefined }[],
): Named[] {
  return Object.entries(config.servers).flatMap(([server, { address }]): Named[] => {
    if ('discover' in address) {
      const answer = answers.get(questionKey(server, address));
      const name = { backend, server, address: formatDiscovered(address) };
      return [{ ...name, servers: answer?.found.length ?? 0, failing: answer?.failing }];
    }
    if (isIP(address.host) !== 0) return [];
    const found = inForce.find(({ name }) => name === server);
    const servers = found?.endpoint === undefined ? 0 : 1;
    return [{ backend, server, address: formatEndpoint(address), servers, failing: found?.failing }];
  });
}
