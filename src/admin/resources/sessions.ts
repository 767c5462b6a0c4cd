import { isIP } from 'node:net';
import * as z from 'zod';
import { DIRECTIONS, type Session } from '../../clients/session.ts';
import { addressIn, client, placeOf, placeQuery, type Place } from '../named.ts';
import { listOf, pagingQuery, sortQuery } from '../paging.ts';
import { time } from '../parameters.ts';
import type { View } from '../../view.ts';
import { Refusal, route } from '../route.ts';

const row = z.strictObject({
  client: z.string().describe('Address or network: the key of the stick table; or unix'),
  backend: z.string(),
  server: z.string().nullable().describe('The server of its latest connection; null while none has reached a server'),
  moves: z.int().describe('How often it was given another server within the session'),
  direction: z.enum(DIRECTIONS).describe('Which way most bytes went; idle where none did'),
  connections: z.int().describe('Open now'),
  connectionsTotal: z.int().describe('Those that had a part in it'),
  bytesIn: z.int().describe('From the client to the server, to the second'),
  bytesOut: z.int().describe('From the server to the client, to the second'),
  bytesInPerSecond: z.int(),
  bytesOutPerSecond: z.int(),
  since: time(),
  quietMs: z.number().describe('Since something was done in it; after ten seconds it is over'),
});

/** What sessions can be sorted by. */
const BY = {
  moves: ({ moves }: Session) => moves,
  connections: ({ connections }: Session) => connections,
  connectionsTotal: ({ total }: Session) => total,
  bytesIn: (session: Session) => session.in,
  bytesOut: (session: Session) => session.out,
  bytesInPerSecond: ({ perSecond }: Session) => perSecond.in,
  bytesOutPerSecond: ({ perSecond }: Session) => perSecond.out,
  quietMs: ({ activeMs }: Session) => -activeMs,
};

/** More bytes than a session moves. */
const MANY_BYTES = 1e15;

/** By bytes a second; those with the same by all their bytes, which are less than one byte a second here. */
function busyness({ perSecond, in: bytesIn, out: bytesOut }: Session): number {
  return Math.round(perSecond.in + perSecond.out) + (bytesIn + bytesOut) / MANY_BYTES;
}

export const sessionsRoute = route({
  method: 'GET',
  path: '/sessions',
  summary: 'What clients do, each over all its connections: the busiest first',
  query: z.strictObject({
    ...placeQuery,
    client: client().optional().describe('Only of this client'),
    sort: sortQuery(BY),
    ...pagingQuery,
  }),
  answer: listOf(row),
  refusals: [404],
})(async ({ view, listings, query }) => {
  const place = placeOf(view, query);
  if (place instanceof Refusal) return place;
  const { items, ...page } = await listings.page('sessions', query, {
    walk: () => walk(view, wanted(place, query.client)),
    by: query.sort === undefined ? busyness : BY[query.sort],
  });
  const nowMs = performance.now();
  return { items: items.map((session) => rowOf(session, nowMs)), ...page };
});

/** Tells which sessions are asked for. An address means the client that it is, or whose network it is in. */
function wanted({ backends, server }: Place, asked: string | undefined): (session: Session) => boolean {
  const address = asked === undefined ? '' : addressIn(asked);
  const keys = new Map(backends.map((backend) => [backend, isIP(address) === 0 ? asked : backend.clientKey(address)]));
  return (session) => {
    if (!keys.has(session.backend) || (server !== undefined && server !== session.server)) return false;
    return asked === undefined || session.client === keys.get(session.backend);
  };
}

/** Undefined for a session that is not wanted. */
function* walk({ sessions }: View, isWanted: (session: Session) => boolean): Generator<Session | undefined> {
  for (const session of sessions.underWay) yield isWanted(session) ? session : undefined;
}

function rowOf(session: Session, nowMs: number): z.input<typeof row> {
  const { perSecond } = session;
  return {
    client: session.client,
    backend: session.backend.name,
    server: session.server?.name ?? null,
    moves: session.moves,
    direction: session.direction,
    connections: session.connections,
    connectionsTotal: session.total,
    bytesIn: session.in,
    bytesOut: session.out,
    bytesInPerSecond: Math.round(perSecond.in),
    bytesOutPerSecond: Math.round(perSecond.out),
    since: new Date(session.sinceMs).toISOString(),
    quietMs: Math.max(0, Math.round(nowMs - session.activeMs)),
  };
}
