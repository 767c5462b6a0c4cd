import { setTimeout as sleep } from 'node:timers/promises';
import { rowOf, Unreachable, type AdminClient, type Question, type Row } from './ask.ts';

const AGAIN_MS = 1_000;
/** The balancer says something every 15 s; one that says nothing for so long is gone, or its machine is. */
const SILENT_MS = 40_000;
/** An event is a line of the log. */
const LONGEST_EVENT = 1 << 20;

/** What a reader of events hears: an event, with its line of the log, or how the stream fares. */
export type Heard =
  | { readonly kind: 'event'; readonly event: string; readonly line: string; readonly fields: Row }
  | { readonly kind: 'lost' }
  | { readonly kind: 'back' };

/**
 * The events of a balancer, for as long as nobody aborts `signal`. A stream that breaks off is taken up again after its
 * last event, in the next process too. Throws where the balancer refuses, or cannot be reached at the first attempt and
 * `wasThere` does not say that it has been reached otherwise.
 */
export async function* eventsOf(
  client: AdminClient,
  question: Question,
  signal: AbortSignal,
  wasThere = false,
): AsyncGenerator<Heard> {
  let lastId: string | undefined;
  let state: 'first' | 'on' | 'lost' = 'first';
  while (!signal.aborted) {
    const silent = new AbortController();
    const late = setTimeout(() => silent.abort(), SILENT_MS);
    try {
      const after = lastId === undefined ? {} : { 'last-event-id': lastId };
      const asked = lastId === undefined ? question : { ...question, recent: undefined };
      const response = await client.stream('events', asked, after, AbortSignal.any([signal, silent.signal]));
      if (state === 'lost') yield { kind: 'back' };
      state = 'on';
      for await (const { id, event, data } of fieldsOf(response.setEncoding('utf8'), () => late.refresh())) {
        if (id !== '') lastId = id;
        yield { kind: 'event', event, line: data, fields: fieldsIn(data) };
      }
    } catch (error) {
      if (signal.aborted) return;
      // A stream that breaks off is what was to be expected; who refuses a reader will not take him a second later.
      if (state !== 'on' && !(error instanceof Unreachable)) throw error;
      if (state === 'first' && !wasThere) throw error;
    } finally {
      clearTimeout(late);
    }
    if (state !== 'lost') yield { kind: 'lost' };
    state = 'lost';
    await sleep(AGAIN_MS, undefined, { signal }).catch(() => {});
  }
}

type Fields = { readonly id: string; readonly event: string; readonly data: string };

/** Events out of a text/event-stream (the HTML standard, 9.2.6), as far as a balancer writes them: data of one line. */
export async function* fieldsOf(chunks: AsyncIterable<string>, heard: () => void): AsyncGenerator<Fields> {
  let rest = '';
  for await (const chunk of chunks) {
    heard();
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > LONGEST_EVENT) throw new Error('what answers sends no events');
    for (const block of blocks) {
      const fields = { id: '', event: 'message', data: '' };
      for (const line of block.split('\n')) {
        const [, name = '', value = ''] = /^(id|event|data): ?(.*)$/.exec(line) ?? [];
        if (name === 'id' || name === 'event' || name === 'data') fields[name] = value;
      }
      if (fields.data !== '') yield fields;
    }
  }
}

function fieldsIn(line: string): Row {
  try {
    return rowOf(JSON.parse(line));
  } catch {
    return {};
  }
}
