import * as z from 'zod';
import type { Backend } from '../../pool/backend.ts';
import type { Server } from '../../pool/server.ts';
import { addressIn, client, placeOf, placeQuery, type Place } from '../named.ts';
import { listOf, pagingQuery, sortQuery } from '../paging.ts';
import { yesNo } from '../parameters.ts';
import { Refusal, route } from '../route.ts';
import { eachOf } from '../slices.ts';

const row = z.strictObject({
  backend: z.string(),
  client: z.string().describe('Address or network: the key of the stick table'),
  server: z.string().describe('The server that it is bound to'),
  home: z.string().nullable().describe('The server that it was moved from and may return to'),
  connections: z.int().describe('Open now'),
  expiresMs: z.number().nullable().describe('How long the binding lasts; null while connections hold it'),
  by: z.string().nullable().describe('The balancer that bound it, where the table is shared'),
  usable: z.boolean().describe('Whether its server takes its connections'),
});

/** A client of a backend, before anybody has looked at the rest. */
type Bound = { readonly backend: Backend; readonly client: string };

const ip = () =>
  client()
    .refine((text) => text !== 'unix', { error: 'who comes by a unix socket has no binding' })
    .optional()
    .describe('Only of this client: an address in the network that makes it, or that network');

/** What bindings can be sorted by. */
const BY = {
  connections: ({ backend, client: key }: Bound) => backend.table?.peek(key)?.connections ?? 0,
};

/** Bindings, in an order that stays. */
export const tableRoute = route({
  method: 'GET',
  path: '/table',
  summary: 'Which client is bound to which server',
  query: z.strictObject({ ...placeQuery, ip: ip(), sort: sortQuery(BY), ...pagingQuery }),
  answer: listOf(row),
  refusals: [404],
})(async ({ view, listings, query }) => {
  const place = placeOf(view, query);
  if (place instanceof Refusal) return place;
  const { items, ...page } = await listings.page('table', query, {
    walk: () => walk(place, query.ip),
    total: query.ip === undefined ? entriesIn(place) : undefined,
    by: query.sort && BY[query.sort],
  });
  return { items: items.flatMap(rowOf), ...page };
});

export const unbindRoute = route({
  method: 'DELETE',
  path: '/table',
  summary: 'Take bindings away: open connections stay, the next one of the client is balanced afresh',
  query: z.strictObject({
    ...placeQuery,
    ip: ip(),
    all: yesNo().optional().describe('true: all bindings of the backend'),
  }),
  answer: z.strictObject({ unbound: z.int().describe('Clients that were bound') }),
  refusals: [404],
})(async ({ view, query }) => {
  const place = placeOf(view, query);
  if (place instanceof Refusal) return place;
  const named = [query.ip, place.server, query.all === true ? true : undefined].filter((one) => one !== undefined);
  const isAllOfAll = query.all === true && query.backend === undefined;
  if (named.length !== 1 || isAllOfAll) {
    return new Refusal(400, 'expected ip=ADDRESS, server=BACKEND/SERVER, or backend=BACKEND with all=true');
  }
  let unbound = 0;
  const unbind = (bound: Bound | undefined): boolean => bound?.backend.unbind(bound.client) === true;
  if (query.ip === undefined) await eachOf(walk(place, undefined), (bound) => void (unbind(bound) && unbound++));
  else {
    for (const backend of place.backends) {
      const key = backend.clientKey(addressIn(query.ip));
      if (key === undefined) continue;
      if (unbind({ backend, client: key }) || (await backend.shared?.unbindElsewhere(key)) === true) unbound++;
    }
  }
  return { unbound };
});

/** Undefined for a step that finds nothing. */
function* walk({ backends, server }: Place, of: string | undefined): Generator<Bound | undefined> {
  for (const backend of backends) {
    if (of !== undefined) {
      const key = backend.clientKey(addressIn(of));
      const binding = key === undefined ? undefined : backend.binding(key);
      if (key !== undefined && binding && isOf(server, binding.bound)) yield { backend, client: key };
      continue;
    }
    for (const binding of backend.table?.walk() ?? []) {
      yield binding && isOf(server, binding.server) ? { backend, client: binding.client } : undefined;
    }
  }
}

const isOf = (wanted: Server | undefined, server: Server): boolean => wanted === undefined || wanted === server;

function entriesIn({ backends, server }: Place): number {
  const entries = backends.map(({ table }) => (server ? table?.entriesOf(server) : table?.entries) ?? 0);
  return entries.reduce((sum, count) => sum + count, 0);
}

/** Nothing for a client that is bound no longer. */
function rowOf({ backend, client: key }: Bound): z.input<typeof row>[] {
  const binding = backend.binding(key);
  if (!binding) return [];
  const { bound, connections } = binding;
  const expiresMs = binding.expiresMs === undefined ? null : Math.round(binding.expiresMs);
  const home = backend.table?.home(key)?.name ?? null;
  const where = { backend: backend.name, client: key, server: bound.name, home };
  return [{ ...where, connections, expiresMs, by: binding.by ?? null, usable: bound.usable }];
}
