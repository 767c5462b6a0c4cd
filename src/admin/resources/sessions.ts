import { z } from 'zod';
import { DIRECTIONS, type Session } from '../../clients/session.ts';
import { client, isClient, placeOf, placeQuery } from '../named.ts';
import { listOf, pageOf, pagingQuery } from '../paging.ts';
import { time } from '../parameters.ts';
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

/** Sessions under way, the busiest first. */
export const sessionsRoute = route({
  method: 'GET',
  path: '/sessions',
  summary: 'What clients do, each over all its connections: the busiest first',
  query: z.strictObject({ ...placeQuery, client: client().optional().describe('Only of this client'), ...pagingQuery }),
  answer: listOf(row),
  refusals: [404],
})(async ({ view, query }) => {
  const place = placeOf(view, query);
  if (place instanceof Refusal) return place;
  const wanted = view.sessions.underWay.filter((session) => {
    if (!place.backends.includes(session.backend)) return false;
    if (place.server !== undefined && place.server !== session.server) return false;
    return query.client === undefined || isClient(query.client, session.client, keyIn(session, query.client));
  });
  const { items, ...page } = await pageOf(busiestFirst(wanted), query, wanted.length);
  const nowMs = performance.now();
  return { items: items.map((session) => rowOf(session, nowMs)), ...page };
});

/** `asked` itself where it is an address in the network that makes the client of this session. */
function keyIn({ backend, client: key }: Session, asked: string): string | undefined {
  return backend.clientKey(asked) === key ? asked : undefined;
}

/** By bytes a second, then by bytes. */
function busiestFirst(sessions: readonly Session[]): Session[] {
  const ranked = sessions.map((session) => ({
    session,
    rate: Math.round(session.perSecond.in + session.perSecond.out),
    bytes: session.in + session.out,
  }));
  return ranked.toSorted((a, b) => b.rate - a.rate || b.bytes - a.bytes).map(({ session }) => session);
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
