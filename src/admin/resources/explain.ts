import * as z from 'zod';
import type { Backend } from '../../pool/backend.ts';
import { fault, takesNew } from '../../pool/choose.ts';
import { normaliseAddress } from '../../pool/client-key.ts';
import type { Server } from '../../pool/server.ts';
import type { Frontend } from '../../proxy/frontend.ts';
import type { Refusal } from '../../proxy/observer.ts';
import { ipAddress, time } from '../parameters.ts';
import { route } from '../route.ts';

const move = z.strictObject({
  at: time(),
  from: z.string(),
  to: z.string(),
  reason: z.string().describe('Why the former server did not keep it'),
});

const frontend = z.strictObject({
  name: z.string(),
  admitted: z.boolean().describe('Whether a connection from this address would be let in now'),
  why: z.string(),
});

const backend = z.strictObject({
  name: z.string(),
  client: z.string().nullable().describe('What the client is in the stick table; null = not sticky'),
  server: z.string().nullable().describe('The server that it is bound to'),
  home: z.string().nullable().describe('The server that it was moved from and may return to'),
  by: z.string().nullable().describe('The balancer that bound it, where the table is shared'),
  order: z.string().nullable().describe('Who put that server in drain or maint, at which balancer, and when'),
  connections: z.int().describe('Open now'),
  waiting: z.int().describe('Connections that wait for a place'),
  expiresMs: z.number().nullable().describe('How long the binding lasts; null while connections hold it'),
  why: z.string().describe('Where the next connection goes, and why'),
  moves: z.array(move).describe('Its moves among the last 1000 of the backend, the latest first'),
  wouldGo: z
    .string()
    .nullable()
    .describe('The server that a connection would get now; null where none has a place, or a draw decides'),
});

/** Where a client of this address goes, and why: one entry for each frontend and each backend. */
export const explainRoute = route({
  method: 'GET',
  path: '/explain',
  summary: 'Where a client of this address goes, and why',
  query: z.strictObject({ ip: ipAddress().describe('Address of the client') }),
  answer: z.strictObject({
    ip: z.string().describe('The address, normalised'),
    frontends: z.array(frontend),
    backends: z.array(backend),
  }),
})(({ view, query }) => {
  const ip = normaliseAddress(query.ip);
  return {
    ip,
    frontends: view.frontends.flatMap((one) => admission(one, ip)),
    backends: view.backends.map((one) => explained(one, ip)),
  };
});

/** What stands against a client, by the reason for which it is refused. */
const AGAINST: Partial<Record<Refusal, string>> = {
  denied: '`deny` names its address',
  not_allowed: '`allow` does not name its address',
  source_connections: '`perSource.connections`: its source has as many connections as it may have',
  source_rate: '`perSource.rate`: its source has come too often just now',
  open_files: 'the open-file limit leaves no room for another connection',
  max_connections: '`maxConnections` of the frontend is reached',
};

function admission(of: Frontend, ip: string): z.input<typeof frontend>[] {
  const verdict = of.judge(ip);
  if (!verdict) return [];
  const { refusal, mustAdvertise } = verdict;
  const proxy = mustAdvertise ? ', if its connections begin with a PROXY header: `acceptProxy` names its address' : '';
  const why = refusal ? (AGAINST[refusal] ?? refusal) : `nothing is against it${proxy}`;
  return [{ name: of.name, admitted: refusal === undefined, why }];
}

function explained(of: Backend, ip: string): z.input<typeof backend> {
  const key = of.clientKey(ip);
  const client = of.table && key;
  const binding = client === undefined ? undefined : of.binding(client);
  const moves = client === undefined ? [] : of.moves.of(client);
  return {
    name: of.name,
    client: client ?? null,
    server: binding?.bound.name ?? null,
    home: (client !== undefined && of.table?.home(client)?.name) || null,
    by: binding?.by ?? null,
    order: binding ? orderOf(binding.bound) : null,
    connections: binding?.connections ?? 0,
    waiting: key === undefined ? 0 : of.waitingOf(key),
    expiresMs: binding?.expiresMs ?? null,
    why: explanation(of, client, binding),
    moves: moves.map(({ atMs, from, to, reason }) => ({ at: new Date(atMs).toISOString(), from, to, reason })),
    wouldGo: of.foresee(key)?.name ?? null,
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
  return `bound to ${bound.name}, which is ${fault(bound) ?? 'not usable'}; ${next('moves it')}`;
}

/** How a server keeps its clients. */
function keeping(server: Server): string {
  if (takesNew(server)) return 'is up and takes its clients';
  return `${server.admin === 'drain' ? 'drains' : 'has the weight 0'}: it keeps its clients and takes no new ones`;
}

function orderOf({ name, admin, said: { state } }: Server): string | null {
  if (admin === 'ready' || !state || state.who === '') return null;
  const there = state.by === undefined ? '' : ` at ${state.by}`;
  return `${state.who} put ${name} in ${admin}${there}, ${new Date(state.atMs).toISOString()}`;
}

/** Names that stand for no server yet. */
function unresolved(all: Backend['names']): string {
  const failing = all.flatMap(({ address, servers, failing: why }) =>
    why && servers === 0 ? [`; ${address} does not resolve: ${why.reason}`] : [],
  );
  return failing.join('');
}
