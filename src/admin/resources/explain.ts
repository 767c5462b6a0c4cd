import { z } from 'zod';
import type { Backend } from '../../pool/backend.ts';
import { takesNew } from '../../pool/choose.ts';
import { normaliseAddress } from '../../pool/client-key.ts';
import type { Server } from '../../pool/server.ts';
import { ipAddress } from '../parameters.ts';
import { route } from '../route.ts';

const backend = z.strictObject({
  name: z.string(),
  client: z.string().nullable().describe('What the client is in the stick table; null = not sticky'),
  server: z.string().nullable().describe('The server that it is bound to'),
  connections: z.int().describe('Open now'),
  expiresMs: z.number().nullable().describe('How long the binding lasts; null while connections hold it'),
  why: z.string().describe('Where the next connection goes, and why'),
});

/** Where a client of this address goes, and why: one entry for each backend. */
export const explainRoute = route({
  method: 'GET',
  path: '/explain',
  summary: 'Where a client of this address goes, and why',
  query: z.strictObject({ ip: ipAddress().describe('Address of the client') }),
  answer: z.strictObject({ ip: z.string().describe('The address, normalised'), backends: z.array(backend) }),
})(({ view, query }) => {
  const ip = normaliseAddress(query.ip);
  return { ip, backends: view.backends.map((one) => explained(one, ip)) };
});

function explained(of: Backend, ip: string): z.input<typeof backend> {
  const client = of.table && of.clientKey(ip);
  const binding = client === undefined ? undefined : of.binding(client);
  return {
    name: of.name,
    client: client ?? null,
    server: binding?.bound.name ?? null,
    connections: binding?.connections ?? 0,
    expiresMs: binding?.expiresMs ?? null,
    why: explanation(of, client, binding),
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
