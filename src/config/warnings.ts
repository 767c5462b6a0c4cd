import { networkInterfaces } from 'node:os';
import { Binds } from './binds.ts';
import type { Finding } from './rules.ts';
import type { Config, ServerConfig } from './schema.ts';
import { formatEndpoint, type Endpoint } from './values.ts';

/** What is allowed in a configuration and probably not meant. */
export function warnings(config: Config): Finding[] {
  return [...sameAddresses(config), ...ownAddresses(config), ...unusedBackends(config)];
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

/** A server that is a frontend: each connection to it makes another one, until there are no descriptors left. */
function* ownAddresses(config: Config): Generator<Finding> {
  const lead = ownFrontends(config);
  for (const [name, { servers }] of Object.entries(config.backends)) {
    for (const [server, { address }] of Object.entries(servers)) {
      if ('discover' in address) continue;
      const host = address.host.toLowerCase() === 'localhost' ? '127.0.0.1' : address.host;
      const message = lead({ host, port: address.port });
      if (message !== undefined) yield { path: ['backends', name, 'servers', server], message, at: 'key' };
    }
  }
}

/** What to say of an endpoint by its address, which is where a frontend listens on this machine; else undefined. */
export function ownFrontends({ frontends }: Config): (endpoint: Endpoint) => string | undefined {
  const binds = new Binds<{ readonly frontend: string; readonly host: string }>();
  for (const [frontend, { bind }] of Object.entries(frontends)) {
    for (const each of bind) binds.add(each, { frontend, host: each.kind === 'tcp' ? each.host : '' });
  }
  const interfaces = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const here = new Set(['::1', ...interfaces.map(({ address }) => address)]);
  return (endpoint) => {
    const { host } = endpoint;
    const owner = binds.colliding({ kind: 'tcp', text: '', ...endpoint });
    if (!owner || !(owner.host === host || host.startsWith('127.') || here.has(host))) return undefined;
    return `${formatEndpoint(endpoint)} is where ${owner.frontend} listens; Berth would connect to itself, without end`;
  };
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
