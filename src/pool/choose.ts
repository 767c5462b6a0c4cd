import type { Policy } from './policies.ts';
import type { Server } from './server.ts';
import type { StickTable } from './stick-table.ts';

/** 'full': nobody who may serve the client has a place; `server` is the one that it must wait for, if it is bound. */
export type Choice =
  | { readonly kind: 'stuck' | 'balanced'; readonly server: Server }
  | { readonly kind: 'full'; readonly server: Server | undefined }
  | { readonly kind: 'none' };

export type Pool = {
  readonly servers: readonly Server[];
  readonly policy: Policy;
  readonly table: StickTable<Server> | undefined;
  /** A client that was moved goes back to its first server. A client that was moved to a backup always does. */
  readonly failback: boolean;
};

/**
 * The server that a client is bound to, where that is usable and was not `tried` in vain; else the policy's pick among
 * those with a place, and the client is bound to it at this moment: connections of one client that choose after each
 * other agree, whether or not the first has connected yet. A server that was tried comes back only where no other is
 * left. The caller takes the place in the same tick.
 *
 * `client` is undefined where nothing identifies it (a unix socket); it must be open in the table.
 */
export function choose(pool: Pool, client: string | undefined, tried: ReadonlySet<Server>): Choice {
  const { kind, servers } = prospects(pool, client, tried);
  if (servers.length === 0) return { kind: 'none' };
  const roomy = servers.filter((server) => server.hasRoom);
  const server = kind === 'stuck' ? roomy[0] : pool.policy(roomy, client);
  if (!server) return { kind: 'full', server: kind === 'stuck' ? servers[0] : undefined };
  if (client !== undefined) pool.table?.bind(client, server);
  return { kind, server };
}

/** The servers that may serve a client now, whether or not they have a place: its own, or those for newcomers. */
export function prospects(
  pool: Pool,
  client: string | undefined,
  tried: ReadonlySet<Server>,
): { readonly kind: 'stuck' | 'balanced'; readonly servers: readonly Server[] } {
  const bound = client === undefined ? undefined : pool.table?.match(client);
  const kept = client === undefined ? undefined : keptServer(pool, client, bound, tried);
  if (kept) return { kind: 'stuck', servers: [kept] };
  const servers = newcomersServers(pool.servers, tried);
  // A server in drain, or with the weight 0, takes no newcomers, but this client is its own.
  if (servers.length === 0 && bound?.usable === true) return { kind: 'stuck', servers: [bound] };
  return { kind: 'balanced', servers };
}

/**
 * Where a client that is bound goes without being given another server: to its first server, if it is to return there,
 * or to the server that it is bound to.
 */
export function keptServer(
  { servers, table, failback }: Pool,
  client: string,
  bound: Server | undefined,
  tried: ReadonlySet<Server>,
): Server | undefined {
  const home = failback || bound?.config.backup === true ? table?.home(client) : undefined;
  if (home && takesNew(home) && !tried.has(home)) return home;
  if (bound?.usable !== true || tried.has(bound)) return undefined;
  // A backup is a makeshift: its clients leave it as soon as they can.
  return bound.config.backup && servers.some((server) => takesNew(server) && !server.config.backup) ? undefined : bound;
}

/** Whether a client without a binding may be given it. */
export const takesNew = (server: Server): boolean => server.usable && server.admin === 'ready' && server.weight > 0;

/** Untried before tried, and backups only where nothing else is. */
function newcomersServers(servers: readonly Server[], tried: ReadonlySet<Server>): Server[] {
  const open = servers.filter(takesNew);
  const primaries = open.filter((server) => !server.config.backup);
  const untried = (all: Server[]): Server[] => all.filter((server) => !tried.has(server));
  const choices = [untried(primaries), untried(open), primaries, open];
  return choices.find((choice) => choice.length > 0) ?? [];
}
