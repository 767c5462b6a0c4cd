import type { Policy } from './policies.ts';
import type { Server } from './server.ts';
import type { StickTable } from './stick-table.ts';

export type Choice =
  | { readonly kind: 'stuck' | 'balanced'; readonly server: Server }
  | { readonly kind: 'none'; readonly reason: 'all-down' };

export type Pool = {
  readonly servers: readonly Server[];
  readonly policy: Policy;
  readonly table: StickTable<Server> | undefined;
};

/**
 * The server that a client is bound to, where that is usable and was not `tried` in vain; else the policy's pick, and the
 * client is bound to it at this moment: connections of one client that choose after each other agree, whether or not the
 * first has connected yet. A server that was tried comes back only where no other is left.
 *
 * `client` is undefined where nothing identifies it (a unix socket); it must be open in the table.
 */
export function choose(
  { servers, policy, table }: Pool,
  client: string | undefined,
  tried: ReadonlySet<Server>,
): Choice {
  const bound = client === undefined ? undefined : table?.match(client);
  if (bound?.usable && !tried.has(bound)) return { kind: 'stuck', server: bound };
  const usable = servers.filter((server) => server.usable);
  const untried = usable.filter((server) => !tried.has(server));
  const server = policy(untried.length > 0 ? untried : usable);
  if (!server) return { kind: 'none', reason: 'all-down' };
  if (client !== undefined) table?.bind(client, server);
  return { kind: 'balanced', server };
}
