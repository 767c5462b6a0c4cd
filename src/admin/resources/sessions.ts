import { isIP } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { DIRECTIONS, type Session } from '../../clients/session.ts';
import { addressIn, client, placeOf, placeQuery, type Place } from '../named.ts';
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

/** Sessions that are looked at and sorted in one turn of the event loop: two milliseconds of work. */
const A_TURN = 2_000;

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
  const { best, total } = await busiest(
    view.sessions.underWay,
    wanted(place, query.client),
    query.page * query.perPage,
  );
  const { items, ...page } = await pageOf(best, query, total);
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

/** The `most` of them that move most bytes a second, or have moved most, and how many there are. */
async function busiest(
  sessions: readonly Session[],
  isWanted: (session: Session) => boolean,
  most: number,
): Promise<{ readonly best: readonly Session[]; readonly total: number }> {
  let best: { readonly session: Session; readonly rate: number; readonly bytes: number }[] = [];
  let total = 0;
  for (let from = 0; from < sessions.length; from += A_TURN) {
    const more = sessions.slice(from, from + A_TURN).filter(isWanted);
    total += more.length;
    for (const session of more) {
      const { in: bytesIn, out: bytesOut } = session.perSecond;
      best.push({ session, rate: Math.round(bytesIn + bytesOut), bytes: session.in + session.out });
    }
    best = best.toSorted((a, b) => b.rate - a.rate || b.bytes - a.bytes).slice(0, most);
    await nextTurn();
  }
  return { best: best.map(({ session }) => session), total };
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
