import type { ServerResponse } from 'node:http';
import * as z from 'zod';
import { didYouMean } from '../../config/suggest.ts';
import { EVENTS, type EventName } from '../../events.ts';
import type { Log, Told } from '../../log.ts';
import { shortened } from '../find.ts';
import { whole } from '../parameters.ts';
import { Refusal, route, Streamed } from '../route.ts';

/** A reader who is further behind loses the connection, and can go on from the last event that he has read. */
const MOST_UNREAD_BYTES = 256 << 10;
/** How much of what is past a reader is sent: what happens meanwhile must have room. */
const MOST_PAST_LETTERS = 192 << 10;
/** Proxies and readers take a silent answer for a dead one. */
const HEARTBEAT_MS = 15_000;
/** Events that are kept. */
const KEPT = 500;

const NAMES = Object.keys(EVENTS) as EventName[];

export const eventsRoute = route({
  method: 'GET',
  path: '/events',
  summary: 'What the log says, as it happens: server-sent events, each `data` the line of an event',
  query: z.strictObject({
    events: z.string().optional().describe('Names of events, with commas; without it all but `connection`'),
    recent: whole(0, KEPT).default(0).describe('First the last so many that are kept; `connection` is not'),
  }),
  headers: z.object({ 'last-event-id': z.string().optional().describe('First the kept ones after this one') }),
  answer: z.string().meta({ contentType: 'text/event-stream' }),
  refusals: [503],
})(({ log, query: { events, recent }, header }) => {
  const wanted = events === undefined ? NAMES.filter((name) => name !== 'connection') : events.split(',');
  const unknown = wanted.find((name) => !Object.hasOwn(EVENTS, name));
  if (unknown !== undefined) {
    return new Refusal(400, `events: there is no event ${shortened(unknown)}.${didYouMean(unknown, NAMES)}`);
  }
  const last = header('last-event-id');
  if (!/^\d{0,16}$/.test(last)) return new Refusal(400, 'Last-Event-ID: expected the id of an event');
  const past = last === '' ? log.recent(recent) : log.recent(KEPT).filter(({ id }) => id > Number(last));
  return new Streamed((response) => listen(response, log, past, new Set(wanted)));
});

function listen(response: ServerResponse, log: Log, past: readonly Told[], wanted: ReadonlySet<string>): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    // nginx would keep the events back until it has many.
    'x-accel-buffering': 'no',
  });
  response.write(`: berth\n\n${newest(past.filter(({ event }) => wanted.has(event)))}`);
  const read = (told: Told): void => {
    if (!wanted.has(told.event)) return;
    // Before the write: an event may be longer than that by itself, and who reads has it soon.
    if (response.writableLength > MOST_UNREAD_BYTES) response.destroy();
    else response.write(textOf(told));
  };
  const end = log.subscribe(read, wanted.has('connection'));
  const beat = setInterval(() => response.write(': still here\n\n'), HEARTBEAT_MS);
  response.once('close', () => {
    clearInterval(beat);
    end();
  });
}

/** The last of them that fit. */
function newest(all: readonly Told[]): string {
  let text = '';
  for (const told of all.toReversed()) {
    const more = textOf(told);
    if (text.length + more.length > MOST_PAST_LETTERS) break;
    text = more + text;
  }
  return text;
}

/** A line of JSON has no line break. */
function textOf({ id, event, line }: Told): string {
  return `id: ${id}\nevent: ${event}\ndata: ${line}\n\n`;
}
