import { isIP } from 'node:net';
import * as z from 'zod';
import type { Ended } from '../../clients/recent.ts';
import { formatAddress, type Standing } from '../../proxy/record.ts';
import type { View } from '../../view.ts';
import { addressIn, placeOf, placeQuery, type Place } from '../named.ts';
import { eachOf } from '../slices.ts';
import { time } from '../parameters.ts';
import { Refusal, route } from '../route.ts';

/** Towards each server this machine may use the same port, so that an address alone may name more than one client. */
const MOST_OTHERS = 10;

const found = {
  open: z.boolean().describe('Whether the connection stands'),
  client: z.string().describe('IP:PORT, or unix'),
  frontend: z.string(),
  backend: z.string().nullable(),
  server: z.string().nullable(),
  since: time().describe('When it came'),
  endedAt: time().nullable(),
  end: z.string().nullable().describe('How it ended, in two letters'),
};
type Found = z.input<z.ZodObject<typeof found>>;

const FROM = 'expected IP:PORT or [IPv6]:PORT, as the log of a server has it';

/** The most recent connection comes first, one that stands before all that have ended. */
export const whoisRoute = route({
  method: 'GET',
  path: '/whois',
  summary: 'Which client stood behind an address that the log of a server shows',
  query: z.strictObject({
    from: z
      .string({ error: FROM })
      .regex(/:\d{1,5}$/, { error: FROM })
      .refine((text) => isIP(addressIn(text)) !== 0, { error: FROM })
      .describe('IP:PORT of this machine towards the server: remoteaddr in the log of a registry'),
    ...placeQuery,
  }),
  answer: z.strictObject({
    from: z.string(),
    found: z.literal(true),
    ...found,
    others: z.array(z.strictObject(found)).describe('Others with the same address: towards other servers, or before'),
  }),
  refusals: [404],
})(async ({ view, query }) => {
  const place = placeOf(view, query);
  if (place instanceof Refusal) return place;
  const port = Number(query.from.slice(query.from.lastIndexOf(':') + 1));
  const from = formatAddress({ address: addressIn(query.from), port });
  const isNarrow = query.backend !== undefined || place.server !== undefined;
  const [first, ...others] = (await all(view, from)).filter((one) => !isNarrow || isAt(place, one));
  if (first) return { from, found: true, ...first, others: others.slice(0, MOST_OTHERS) };
  return new Refusal(404, `${from} is none of the open connections, and none of the last 10000 that reached a server`);
});

async function all(view: View, from: string): Promise<Found[]> {
  const open: Standing[] = [];
  for (const frontend of view.frontends) {
    await eachOf(frontend.standing, (connection) => {
      const { standing } = connection;
      if (standing.from === from) open.push(standing);
    });
  }
  const latestFirst = open.toSorted((a, b) => b.id - a.id);
  return [...latestFirst.map(standingNow), ...view.recent.from(from).map(ended)];
}

function isAt({ backends, server }: Place, one: Found): boolean {
  return backends.some(({ name }) => name === one.backend) && (server === undefined || server.name === one.server);
}

function standingNow({ client, frontend, backend, server, startedMs }: Standing): Found {
  const since = new Date(Date.now() - (performance.now() - startedMs)).toISOString();
  const where = { client, frontend, backend: backend ?? null, server: server ?? null };
  return { open: true, ...where, since, endedAt: null, end: null };
}

function ended({ record, endedMs }: Ended): Found {
  const { client, frontend, backend, server, durationMs, end } = record;
  const where = { client, frontend, backend: backend ?? null, server: server ?? null };
  const at = (ms: number): string => new Date(ms).toISOString();
  return { open: false, ...where, since: at(endedMs - durationMs), endedAt: at(endedMs), end };
}
