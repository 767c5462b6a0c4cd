import type { Moves } from './moves.ts';
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
  /** Where clients that lose their server are written down. */
  readonly moves: Moves;
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
  const server = kind === 'stuck' ? servers.find(hasRoom) : pool.policy(servers.filter(hasRoom), client);
  if (!server) return { kind: 'full', server: kind === 'stuck' ? servers[0] : undefined };
  if (client === undefined) return { kind, server };
  const before = pool.table?.bind(client, server);
  if (before) {
    const { name: from } = before;
    pool.moves.add({ atMs: Date.now(), client, from, to: server.name, reason: reasonFor(before, tried) });
  }
  return { kind, server };
}

/**
 * The server that a connection of a client would get now; undefined where that is not known before, because nobody has
 * a place, or because the policy draws. `bound` is the server that the client is bound to. Nothing is touched.
 */
export function foresee(pool: Pool, client: string | undefined, bound: Server | undefined): Server | undefined {
  const { kind, servers } = prospectsOf(pool, client, bound, new Set());
  if (kind === 'stuck') return servers[0];
  return pool.policy(servers.filter(hasRoom), client, true);
}

const hasRoom = (server: Server): boolean => server.hasRoom;

/** The servers that may serve a client now, whether or not they have a place: its own, or those for newcomers. */
export function prospects(
  pool: Pool,
  client: string | undefined,
  tried: ReadonlySet<Server>,
): { readonly kind: 'stuck' | 'balanced'; readonly servers: readonly Server[] } {
  return prospectsOf(pool, client, client === undefined ? undefined : pool.table?.match(client), tried);
}

function prospectsOf(
  pool: Pool,
  client: string | undefined,
  bound: Server | undefined,
  tried: ReadonlySet<Server>,
): ReturnType<typeof prospects> {
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

/** Why a server does not keep its clients, behind the words 'it is'; undefined where it does. */
export function fault({ stage, health, admin, config }: Server): string | undefined {
  if (stage !== 'active') return 'no longer configured';
  if (!health.up) return `down: ${health.reason}`;
  if (admin === 'maint') return 'in maint';
  return config.backup ? 'a backup that is not needed any more' : undefined;
}

/** Why a client was moved from `before`. */
function reasonFor(before: Server, tried: ReadonlySet<Server>): string {
  const { name, health } = before;
  if (tried.has(before)) return `a connection to ${name} failed${health.up ? '' : `: ${health.reason}`}`;
  const why = fault(before);
  return why === undefined ? 'it goes back to its first server' : `${name} is ${why}`;
}

/** Those of `servers` that a client without a binding may be given now: backups only where nothing else is. */
export const takers = (servers: readonly Server[]): readonly Server[] => newcomersServers(servers, new Set());

/** Untried before tried, and backups only where nothing else is. */
function newcomersServers(servers: readonly Server[], tried: ReadonlySet<Server>): Server[] {
  const open = servers.filter(takesNew);
  const primaries = open.filter((server) => !server.config.backup);
  const untried = (all: Server[]): Server[] => all.filter((server) => !tried.has(server));
  const choices = [untried(primaries), untried(open), primaries, open];
  return choices.find((choice) => choice.length > 0) ?? [];
}
