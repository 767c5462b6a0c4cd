/** `drain --wait`: drains a server, and shows what is left until nothing is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../config/values.ts';
import { complain, rowsOf, Unreachable, withBalancer, type AdminClient, type Row } from './ask.ts';
import { change } from './change.ts';
import type { Call } from './commands.ts';
import { line, paperOf } from './print.ts';
import { write } from './show.ts';
import { byteRate, counted, duration } from './units.ts';

const EVERY_MS = 1_000;
/** A balancer that restarts is back long before; one that is away for longer may never be. */
const AWAY_MS = 60_000;

export function drainAndWait({ file, argument = '', json, values }: Call): Promise<number> {
  const { max } = values;
  return withBalancer(file, (client) => {
    const maxMs = typeof max === 'string' ? (parseDuration(max) ?? 0) : Infinity;
    return new Drain(client, argument, maxMs, new Shown(json)).run();
  });
}

class Drain {
  readonly #client: AdminClient;
  /** `BACKEND/SERVER`. */
  readonly #name: string;
  readonly #maxMs: number;
  readonly #shown: Shown;
  readonly #begun = performance.now();
  readonly #interrupted = new AbortController();
  /** Which process answers: another one knows nothing of the drain, unless it has a state file. */
  #process = '';
  #lastAnswer = performance.now();
  /** Connections that are left, as far as is known. */
  #left = 'its connections';

  constructor(client: AdminClient, name: string, maxMs: number, shown: Shown) {
    this.#client = client;
    this.#name = name;
    this.#maxMs = maxMs;
    this.#shown = shown;
  }

  async run(): Promise<number> {
    await change(this.#client, this.#name, { state: 'drain' });
    process.once('SIGINT', () => this.#interrupted.abort());
    for (;;) {
      const code = await this.#look();
      if (code !== undefined) return code;
      const rest = this.#maxMs - (performance.now() - this.#begun);
      if (rest <= 0) return this.#giveUp(`still has ${this.#left} after ${duration(this.#maxMs)}`, 1);
      const { signal } = this.#interrupted;
      await sleep(Math.min(EVERY_MS, rest), undefined, { signal }).catch(() => {});
      if (signal.aborted) return this.#giveUp(`has ${this.#left}`, 130);
    }
  }

  /** Resolves to the exit code, if it is over. */
  async #look(): Promise<number | undefined> {
    try {
      const status = await this.#client.get('status');
      this.#lastAnswer = performance.now();
      return await this.#judge(status);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      const silentMs = performance.now() - this.#lastAnswer;
      if (silentMs >= AWAY_MS) {
        return this.#giveUp(`cannot be seen: no answer from the balancer for ${duration(silentMs)}`, 1);
      }
      await this.#shown.note(`${this.#name}: the balancer does not answer; waiting for it to come back`);
      return undefined;
    }
  }

  async #judge(status: Row): Promise<number | undefined> {
    const row = this.#find(status);
    if (!row) return this.#judgeLeaver();
    const answering = `${String(status['pid'])} ${String(status['startedAt'])}`;
    const another = this.#process !== '' && this.#process !== answering;
    this.#process = answering;
    if (row['state'] === 'ready') {
      if (!another) return this.#giveUp('takes clients again: somebody has set it to ready', 1, false);
      await change(this.#client, this.#name, { state: 'drain' });
      await this.#shown.note(`${this.#name}: the balancer has started anew, without the drain; it drains again`);
    }
    const { connections = 0, queue = 0 } = row as { connections?: number; queue?: number };
    this.#left = counted(connections, 'connection');
    await this.#shown.row(this.#name, row, performance.now() - this.#begun);
    // A balancer that stops may be followed by another, which would send clients to the server again.
    const stays = status['stage'] === 'running';
    return connections + queue > 0 || !stays ? undefined : this.#done();
  }

  /** The configuration names the server no more; its connections go on all the same. */
  async #judgeLeaver(): Promise<number | undefined> {
    let left = 0;
    for await (const items of this.#client.pages('connections')) {
      left += items.filter(({ backend, server }) => `${String(backend)}/${String(server)}` === this.#name).length;
    }
    this.#left = counted(left, 'connection');
    await this.#shown.note(`${this.#name} is no longer configured; ${this.#left} open`);
    return left > 0 ? undefined : this.#done();
  }

  #find({ backends }: Row): Row | undefined {
    const [backend, server] = this.#name.split('/');
    const servers = rowsOf(backends).find(({ name }) => name === backend)?.['servers'];
    return rowsOf(servers).find(({ name }) => name === server);
  }

  async #done(): Promise<number> {
    const waited = duration(performance.now() - this.#begun);
    await this.#shown.end(`${this.#name}: no connection is left, after ${waited}`);
    return 0;
  }

  async #giveUp(why: string, code: number, drained = true): Promise<number> {
    await this.#shown.end('');
    complain(`${this.#name} ${why}${drained ? '; it stays drained' : ''}`);
    return code;
  }
}

/** What is left, on a terminal in one line that changes; on a pipe a line for each change, or with --json an object. */
class Shown {
  readonly #json: boolean;
  readonly #live: boolean;
  #last = '';

  constructor(json: boolean) {
    this.#json = json;
    this.#live = process.stdout.isTTY && !json;
  }

  async row(server: string, row: Row, waitedMs: number): Promise<void> {
    const { connections, queue, bytesInPerSecond, bytesOutPerSecond } = row;
    const now = `${String(connections)} ${String(queue)}`;
    if (!this.#live && now === this.#last) return;
    this.#last = now;
    if (this.#json) {
      const facts = { server, connections, queue, bytesInPerSecond, bytesOutPerSecond, waitedMs: Math.round(waitedMs) };
      await write(`${JSON.stringify(facts)}\n`);
      return;
    }
    const moving = `${byteRate(bytesInPerSecond)} in, ${byteRate(bytesOutPerSecond)} out`;
    const waiting = Number(queue) > 0 ? `, ${counted(queue, 'connection')} waiting` : '';
    await this.#say(
      `${server}: ${counted(connections, 'connection')} open${waiting}, ${moving}, ${duration(waitedMs)}`,
    );
  }

  async note(text: string): Promise<void> {
    if (text !== this.#last && !this.#json) await this.#say(text);
    this.#last = text;
  }

  async end(text: string): Promise<void> {
    if (this.#json) return;
    if (text !== '') await this.#say(text);
    if (this.#live) await write('\n');
  }

  async #say(text: string): Promise<void> {
    const paper = paperOf(process.stdout);
    await write(this.#live ? `\r\x1b[2K${line([text], paper)}` : `${line([text], paper)}\n`);
  }
}
