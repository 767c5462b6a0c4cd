/** A reader of /api/v1/events. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Running } from './operator.ts';
import { Changes, within } from './waiting.ts';

export type Event = {
  readonly id: number;
  readonly event: string;
  readonly data: { readonly msg: string; readonly [key: string]: unknown };
};

export class EventStream {
  readonly events: Event[] = [];
  readonly comments: string[] = [];
  /** 'end' where the answer is whole, else the code of the error. */
  readonly ended: Promise<string>;
  readonly #call: ClientRequest;
  readonly #response: IncomingMessage;
  readonly #changes = new Changes();
  #over = false;
  #rest = '';

  private constructor(call: ClientRequest, response: IncomingMessage) {
    this.#call = call;
    this.#response = response;
    response.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    this.ended = new Promise<string>((resolve) => {
      response.once('end', () => resolve('end'));
      response.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'error'));
    }).then((how) => {
      this.#over = true;
      this.#changes.tell();
      return how;
    });
  }

  /** `query` begins with a question mark. Rejects where the answer is not a stream. */
  static async open(
    berth: Running,
    query = '',
    headers: Readonly<Record<string, string>> = {},
    localAddress = '127.0.0.1',
  ): Promise<EventStream> {
    const { address } = await berth.until(() => berth.lines.findLast(({ msg }) => msg === 'admin listening'));
    const [, host = '', port] = /^(.*):(\d+)$/.exec(String(address)) ?? [];
    const call = request({ host, port, path: `/api/v1/events${query}`, agent: false, headers, localAddress }).end();
    const [response] = (await within(once(call, 'response'), 'an answer')) as [IncomingMessage];
    call.on('error', () => {});
    if (response.statusCode !== 200) response.resume();
    assert.equal(response.statusCode, 200);
    assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
    return new EventStream(call, response);
  }

  /** The first event of this name, past or to come. */
  event(name: string, wanted: (event: Event) => boolean = () => true): Promise<Event> {
    return this.until(name, () => this.events.find((one) => one.event === name && wanted(one)));
  }

  until<T>(what: string, look: () => T): Promise<Exclude<T, undefined | false>> {
    const seen = (): string => `${what}; there are ${this.events.map(({ event }) => event).join(', ')}`;
    return this.#changes.until(seen, look, () => this.#over);
  }

  /** Reads no more, and stays. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  leave(): void {
    this.#call.destroy();
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block.startsWith(':')) this.comments.push(block.slice(2));
      else this.events.push(read(block));
    }
    this.#changes.tell();
  }
}

function read(block: string): Event {
  const fields = block.split('\n').map((line) => /^(\w+): (.*)$/.exec(line)!.slice(1) as [string, string]);
  const { id, event, data, ...more } = Object.fromEntries(fields) as Record<string, string>;
  assert.deepEqual(more, {});
  return { id: Number(id), event: event!, data: JSON.parse(data!) as Event['data'] };
}
