import type { Finding } from './rules.ts';
import type { Config, ServerConfig } from './schema.ts';
import { formatEndpoint } from './values.ts';

/** What is allowed in a configuration and probably not meant. */
export function warnings(config: Config): Finding[] {
  return [...sameAddresses(config), ...unusedBackends(config)];
}

/** A node twice in a backend: the node has two shares of the clients, and its failure moves no client elsewhere. */
function* sameAddresses({ backends }: Config): Generator<Finding> {
  for (const [name, { servers }] of Object.entries(backends)) {
    const seen = new Map<string, string>();
    for (const [server, { address }] of Object.entries(servers)) {
      const key = addressText(address);
      const other = seen.get(key);
      seen.set(key, other ?? server);
      if (other === undefined) continue;
      const message = `${key} is the address of ${other} too; a node that is to have more clients takes a weight`;
      yield { path: ['backends', name, 'servers', server], message, at: 'key' };
    }
  }
}

function* unusedBackends({ frontends, backends }: Config): Generator<Finding> {
  const used = new Set(Object.values(frontends).flatMap(({ backend, sni }) => [backend, ...Object.values(sni)]));
  for (const name of Object.keys(backends)) {
    if (!used.has(name)) yield { path: ['backends', name], message: 'no frontend sends clients here', at: 'key' };
  }
}

/** An address as balancer.yml has it, in lower case. */
export function addressText(address: ServerConfig['address']): string {
  if (!('discover' in address)) return formatEndpoint(address).toLowerCase();
  const { discover, name } = address;
  return `${discover}:${name}${discover === 'dns' ? `:${address.port}` : ''}`.toLowerCase();
}
