/** One event of a text/event-stream, as the HTML standard (9.2.6) reads it. */
export type ServerSentEvent = { readonly id: string; readonly name: string; readonly data: string };

/** More than any event of Berth: a stream without the blank line that ends an event is no stream of Berth. */
const LONGEST = 1 << 20;

/** Takes a stream's text in pieces of any size, and gives the events that are whole. Comments tell nothing. */
export class EventText {
  /** The last that the stream has named: where a new stream is to go on. */
  id = '';
  #rest = '';
  #name = '';
  #data: string[] = [];

  /** Throws where the text cannot be a stream of events. */
  take(piece: string): ServerSentEvent[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LONGEST) throw new Error(`a line of more than ${LONGEST} characters`);
    return lines.flatMap((line) => this.#line(line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  #line(line: string): ServerSentEvent[] {
    if (line === '') return this.#end();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#name = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
    return [];
  }

  #end(): ServerSentEvent[] {
    const event = { id: this.id, name: this.#name || 'message', data: this.#data.join('\n') };
    const empty = this.#data.length === 0;
    [this.#name, this.#data] = ['', []];
    return empty ? [] : [event];
  }
}
