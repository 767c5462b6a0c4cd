import type { ConnectionRecord } from '../proxy/record.ts';

/** Connections that are remembered: about 400 bytes each. */
const MOST_CONNECTIONS = 10_000;

/** A connection that has ended; `endedMs` is milliseconds since 1970. */
export type Ended = { readonly record: ConnectionRecord; readonly endedMs: number };

/** The last connections that have ended and had reached a server, for whoever finds an address in a server's log. */
export class Recent {
  readonly #records: ConnectionRecord[] = [];
  readonly #endedMs: Float64Array;
  #next = 0;

  constructor(most = MOST_CONNECTIONS) {
    this.#endedMs = new Float64Array(most);
  }

  add(record: ConnectionRecord): void {
    if (record.from === undefined) return;
    this.#records[this.#next] = record;
    this.#endedMs[this.#next] = Date.now();
    this.#next = (this.#next + 1) % this.#endedMs.length;
  }

  /** Those that reached their server from the address `from`, the latest first. */
  from(from: string): Ended[] {
    const { length } = this.#records;
    const found: Ended[] = [];
    for (let back = 1; back <= length; back++) {
      const place = (this.#next - back + length) % length;
      const record = this.#records[place];
      if (record?.from === from) found.push({ record, endedMs: this.#endedMs[place] ?? 0 });
    }
    return found;
  }
}
