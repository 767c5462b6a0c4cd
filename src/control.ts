import type { Backend } from './pool/backend.ts';
import { formatEndpoint } from './config/values.ts';
import { takesNew } from './pool/choose.ts';
import type { AdminState, Server } from './pool/server.ts';
import { normaliseAddress } from './pool/client-key.ts';
import { version } from './version.ts';
import type { View } from './view.ts';

/** Thrown when an operator names a backend or a server that does not exist. */
export class NotFound extends Error {}

/** What an operator may ask and change, whether by the admin address, the command line or a signal. */
export class Control {
  readonly #view: View;
  readonly #reload: () => Promise<readonly string[]>;

  /** `reload` resolves to the problems that kept the old configuration in force; to none if the new one is in force. */
  constructor(view: View, reload: () => Promise<readonly string[]>) {
    this.#view = view;
    this.#reload = reload;
  }

  status(): object {
    this.#view.sweep();
    return {
      version,
      node: process.version,
      stage: this.#view.stage,
      frontends: this.#view.frontends.map(({ name, connections }) => ({
        name,
        addresses: this.#view.addressesOf(name),
        connections,
      })),
      backends: this.#view.backends.map((backend) => ({
        name: backend.name,
        balance: backend.config.balance,
        queue: backend.waiting,
        stickTable: backend.table ? { size: backend.table.size, entries: backend.table.entries } : false,
        servers: backend.servers.map((server) => describe(server, backend)),
        names: backend.names.map(({ server, address, servers, failing }) => ({
          server,
          address,
          servers,
          resolves: failing === undefined,
          since: failing ? new Date(failing.sinceMs).toISOString() : null,
          reason: failing?.reason ?? '',
        })),
      })),
    };
  }

  /** Throws NotFound. */
  setState(backend: string, server: string, state: AdminState): object {
    const found = this.#backend(backend);
    const target = found.servers.find(({ name }) => name === server);
    if (!target) throw new NotFound(`there is no server ${server} in ${backend}; there are ${names(found.servers)}`);
    target.setAdmin(state);
    return describe(target, found);
  }

  /** Where a client of this address goes, and why: one entry for each backend. */
  explain(address: string): object {
    const ip = normaliseAddress(address);
    return {
      ip,
      backends: this.#view.backends.map((backend) => {
        const client = backend.table && backend.clientKey(ip);
        const binding = client === undefined ? undefined : backend.binding(client);
        return {
          name: backend.name,
          client: client ?? null,
          server: binding?.bound.name ?? null,
          connections: binding?.connections ?? 0,
          expiresMs: binding?.expiresMs ?? null,
          why: explanation(backend, client, binding),
        };
      }),
    };
  }

  reload(): Promise<readonly string[]> {
    return this.#reload();
  }

  #backend(name: string): Backend {
    const backend = this.#view.backends.find((one) => one.name === name);
    if (!backend) throw new NotFound(`there is no backend ${name}; there are ${names(this.#view.backends)}`);
    return backend;
  }
}

function describe(server: Server, { table }: Backend): object {
  const { name, config, health, storage = null, admin, connections, slots, weight } = server;
  return {
    name,
    address: formatEndpoint(config.address),
    up: health.up,
    since: new Date(health.since).toISOString(),
    reason: health.reason,
    storage: storage && (storage.known ? 'known' : 'unknown'),
    storageReason: storage?.known === false ? storage.reason : '',
    state: admin,
    usable: server.usable,
    weight,
    backup: config.backup,
    connections,
    queue: slots.waiting,
    clients: table?.entriesOf(server) ?? 0,
    bytesIn: server.traffic.in,
    bytesOut: server.traffic.out,
  };
}

function explanation(
  { config, servers, names: namesOf }: Backend,
  client: string | undefined,
  binding: ReturnType<Backend['binding']>,
): string {
  const next = (how: string): string =>
    servers.some(takesNew)
      ? `the next connection ${how} where ${config.balance} sends it`
      : `no server takes new clients, the next connection is reset${unresolved(namesOf)}`;
  if (client === undefined) return `not sticky; ${next('goes')}`;
  if (!binding) return `not bound; ${next('is bound')}`;
  const { bound, next: kept } = binding;
  if (kept === bound) return `bound to ${bound.name}, which ${keeping(bound)}`;
  if (kept) return `bound to ${bound.name}; the next connection returns it to ${kept.name}, where it was first`;
  return `bound to ${bound.name}, which is ${fault(bound, servers)}; ${next('moves it')}`;
}

/** How a server keeps its clients. */
function keeping(server: Server): string {
  if (takesNew(server)) return 'is up and takes its clients';
  return `${server.admin === 'drain' ? 'drains' : 'has the weight 0'}: it keeps its clients and takes no new ones`;
}

/** Names that stand for no server yet. */
function unresolved(all: Backend['names']): string {
  const failing = all.flatMap(({ address, servers, failing: why }) =>
    why && servers === 0 ? [`; ${address} does not resolve: ${why.reason}`] : [],
  );
  return failing.join('');
}

/** Why a server does not keep its clients. */
function fault(server: Server, servers: readonly Server[]): string {
  if (!servers.includes(server)) return 'no longer configured';
  if (!server.health.up) return `down: ${server.health.reason}`;
  return server.admin === 'maint' ? 'in maint' : 'a backup that is not needed any more';
}

function names(all: readonly { readonly name: string }[]): string {
  return all.map(({ name }) => name).join(', ');
}
