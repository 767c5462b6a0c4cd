import * as z from 'zod';
import type { Connection } from '../../proxy/connection.ts';
import { PHASES, type Standing } from '../../proxy/record.ts';
import type { View } from '../../view.ts';
import { client, isClient, placeOf, placeQuery, type Place } from '../named.ts';
import { listOf, pagingQuery, sortQuery } from '../paging.ts';
import { Refusal, route } from '../route.ts';
import { eachOf } from '../slices.ts';

/** To end a connection closes two sockets: the clock is looked at more often than for a step that only looks. */
const ENDS_A_LOOK = 16;

const row = z.strictObject({
  id: z.string().describe('Its number in this process'),
  frontend: z.string(),
  backend: z.string().nullable().describe('null while its first bytes have led to none'),
  server: z.string().nullable().describe('The server that it is joined to, or that is dialled'),
  client: z.string().describe('IP:PORT, or unix'),
  from: z.string().nullable().describe('IP:PORT of Berth towards the server, which is what its log shows'),
  sni: z.string().nullable().describe('The TLS server name, where connections are routed by it'),
  phase: z.enum(Object.values(PHASES)),
  ageMs: z.number(),
  idleMs: z.number().describe('Since bytes moved last, or since it began; to the second'),
  bytesIn: z.int().describe('From the client to the server'),
  bytesOut: z.int().describe('From the server to the client'),
  bytesInPerSecond: z.int(),
  bytesOutPerSecond: z.int(),
});

const query = { ...placeQuery, client: client().optional().describe('Only of this client') };
type Filter = { readonly place: Place; readonly client: string | undefined; readonly isNarrow: boolean };

/** What connections can be sorted by. */
const BY = {
  ageMs: ({ startedMs }: Standing) => -startedMs,
  idleMs: ({ movedMs }: Standing) => -movedMs,
  bytesIn: (one: Standing) => one.in,
  bytesOut: (one: Standing) => one.out,
  bytesInPerSecond: ({ perSecond }: Standing) => perSecond.in,
  bytesOutPerSecond: ({ perSecond }: Standing) => perSecond.out,
};

export const connectionsRoute = route({
  method: 'GET',
  path: '/connections',
  summary: 'Connections that stand, the oldest of each frontend first',
  query: z.strictObject({ ...query, sort: sortQuery(BY), ...pagingQuery }),
  answer: listOf(row),
  refusals: [404],
})(async ({ view, listings, query: asked }) => {
  const filter = filterOf(view, asked);
  if (filter instanceof Refusal) return filter;
  const all = view.frontends.reduce((sum, { connections }) => sum + connections, 0);
  const by = asked.sort && BY[asked.sort];
  const { items, ...page } = await listings.page('connections', asked, {
    walk: () => standing(view, filter),
    total: filter.isNarrow ? undefined : all,
    by: by && ((one: Connection) => by(one.standing)),
  });
  const nowMs = performance.now();
  return { items: items.map((one) => rowOf(one.standing, nowMs)), ...page };
});

export const endConnectionRoute = route({
  method: 'DELETE',
  path: '/connections/{id}',
  summary: 'End a connection; its line in the log says K and the phase',
  answer: z.strictObject({ ended: z.int() }),
  refusals: [404],
})(({ view, params: { id } }) => {
  const found = view.frontends.map((frontend) => frontend.connection(Number(id))).find((one) => one !== undefined);
  if (!found || String(found.id) !== id) return new Refusal(404, 'there is no such connection; it may have ended');
  found.kill('K');
  return { ended: 1 };
});

export const endConnectionsRoute = route({
  method: 'DELETE',
  path: '/connections',
  summary: 'End the connections of a server or a client; their lines in the log say K and the phase',
  query: z.strictObject(query),
  answer: z.strictObject({ ended: z.int().describe('Connections that were ended') }),
  refusals: [404],
})(async ({ view, query: asked }) => {
  const filter = filterOf(view, asked);
  if (filter instanceof Refusal) return filter;
  if (filter.place.server === undefined && filter.client === undefined) {
    return new Refusal(400, 'expected server=BACKEND/SERVER or client=ADDRESS');
  }
  let ended = 0;
  const end = (connection: Connection | undefined): void => {
    if (!connection) return;
    connection.kill('K');
    ended++;
  };
  await eachOf(standing(view, filter), end, ENDS_A_LOOK);
  return { ended };
});

function filterOf(view: View, asked: z.output<z.ZodObject<typeof query>>): Filter | Refusal {
  const place = placeOf(view, asked);
  if (place instanceof Refusal) return place;
  const isNarrow = asked.backend !== undefined || place.server !== undefined || asked.client !== undefined;
  return { place, client: asked.client, isNarrow };
}

/** Undefined for a connection that is not wanted. */
function* standing(view: View, filter: Filter): Generator<Connection | undefined> {
  for (const frontend of view.frontends) {
    for (const connection of frontend.standing) {
      yield !filter.isNarrow || fits(connection.standing, filter) ? connection : undefined;
    }
  }
}

function fits({ backend, server, client: given, key }: Standing, { place, client: wanted }: Filter): boolean {
  if (!place.backends.some(({ name }) => name === backend)) return false;
  if (place.server !== undefined && place.server.name !== server) return false;
  return wanted === undefined || isClient(wanted, given, key);
}

function rowOf(one: Standing, nowMs: number): z.input<typeof row> {
  return {
    id: String(one.id),
    frontend: one.frontend,
    backend: one.backend ?? null,
    server: one.server ?? null,
    client: one.client,
    from: one.from ?? null,
    sni: one.sni ?? null,
    phase: PHASES[one.phase],
    ageMs: Math.round(nowMs - one.startedMs),
    idleMs: Math.max(0, Math.round(nowMs - one.movedMs)),
    bytesIn: one.in,
    bytesOut: one.out,
    bytesInPerSecond: Math.round(one.perSecond.in),
    bytesOutPerSecond: Math.round(one.perSecond.out),
  };
}
