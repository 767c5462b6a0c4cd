/** `top`: what runs, live, on the whole terminal. */
import { pretty } from '../pretty.ts';
import { complain, isTold, rowsOf, withBalancer, type AdminClient, type Row } from './ask.ts';
import type { Call } from './commands.ts';
import { eventsOf } from './event-stream.ts';
import { SESSION } from './lists.ts';
import { backendTitle, serverColumns, sorted, text } from './look.ts';
import { line, paperOf, Table, type Cell, type Paper, type Style } from './print.ts';
import { Screen, type Key } from './screen.ts';
import { byteRate, count, counted, since } from './units.ts';

const EVERY_MS = 1_000;
/** More than a terminal shows. */
const [MOST_SESSIONS, MOST_EVENTS] = [100, 100];

type Order = { readonly by: string; readonly field?: string; readonly ofClients?: true };
/** Orders of servers; some are of clients too, which else are the busiest first. */
const ORDERS: readonly Order[] = [
  { by: 'name' },
  { by: 'connections', field: 'connections', ofClients: true },
  { by: 'bytes in', field: 'bytesInPerSecond', ofClients: true },
  { by: 'bytes out', field: 'bytesOutPerSecond', ofClients: true },
  { by: 'clients', field: 'clients' },
  { by: 'errors', field: 'connectErrors' },
];

export function top({ file }: Call): Promise<number> {
  if (!process.stdout.isTTY) {
    const instead = 'berth status, berth sessions and berth events write to a pipe';
    return Promise.resolve(complain(`top needs a terminal; ${instead}`, 2));
  }
  return withBalancer(file, (client) => new Top(client).run());
}

class Top {
  readonly #client: AdminClient;
  readonly #screen = new Screen(
    () => this.#draw(),
    (key) => this.#press(key),
  );
  #status: Row = {};
  #sessions: readonly Row[] = [];
  /** Sessions that are under way: not all of them are asked for. */
  #inAll = 0;
  /** The last ones, oldest first. */
  readonly #events: Cell[] = [];
  /** Why the balancer is not seen. */
  #fault = '';
  #order = 0;
  #scrolled = 0;

  constructor(client: AdminClient) {
    this.#client = client;
  }

  async run(): Promise<number> {
    // A first answer before the terminal is borrowed: a call that can never work is a line on standard error.
    await this.#ask();
    const end = new AbortController();
    this.#screen.open();
    try {
      void this.#listen(end.signal);
      for (;;) {
        this.#draw();
        const code = await this.#screen.pause(EVERY_MS);
        if (code !== undefined) return code;
        try {
          await this.#ask();
          this.#fault = '';
        } catch (error) {
          if (!isTold(error)) throw error;
          this.#fault = error.message;
        }
      }
    } finally {
      end.abort();
      this.#screen.close();
    }
  }

  async #ask(): Promise<void> {
    const [status, sessions] = await Promise.all([
      this.#client.get('status'),
      this.#client.get('sessions', { perPage: MOST_SESSIONS, sort: this.#clientField }),
    ]);
    [this.#status, this.#sessions, this.#inAll] = [status, rowsOf(sessions['items']), Number(sessions['total'])];
  }

  get #sort(): Order {
    return ORDERS[this.#order] ?? { by: 'name' };
  }

  get #clientField(): string | undefined {
    return this.#sort.ofClients && this.#sort.field;
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      for await (const heard of eventsOf(this.#client, { recent: MOST_EVENTS }, signal, true)) {
        if (heard.kind === 'event') this.#tell(pretty(heard.line, false), LEVELS[text(heard.fields['level'])]);
        else if (heard.kind === 'back') this.#tell('the balancer is back', 'green');
        else this.#tell('the balancer has gone away', 'red');
      }
    } catch (error) {
      this.#tell(`no events: ${(error as Error).message}`, 'red');
    }
  }

  #tell(what: string, style: Style | undefined): void {
    this.#events.push(style ? { text: what, style } : what);
    if (this.#events.length > MOST_EVENTS) this.#events.shift();
    this.#draw();
  }

  #press(key: Key): void {
    if (key === 's') this.#order = (this.#order + 1) % ORDERS.length;
    else if (key === 'j' || key === 'down') this.#scrolled++;
    else if (key === 'k' || key === 'up') this.#scrolled--;
    else return;
    this.#draw();
  }

  #draw(): void {
    const { rows } = this.#screen;
    const paper = paperOf(process.stdout);
    const servers = this.#servers(paper);
    const room = Math.max(0, rows - 3);
    // Half of it for servers at most, where there are many; of the rest half for clients.
    const forServers = Math.min(servers.length, Math.max(Math.ceil(room / 2), 6), room);
    this.#scrolled = Math.max(0, Math.min(this.#scrolled, servers.length - forServers));
    const forSessions = Math.min(this.#sessions.length + 3, Math.ceil((room - forServers) / 2));
    const forEvents = room - forServers - forSessions;
    const body = [
      ...servers.slice(this.#scrolled, this.#scrolled + forServers),
      ...this.#busiest(paper).slice(0, Math.max(0, forSessions)),
      ...this.#lastEvents(paper, forEvents),
    ];
    const filled = [this.#head(paper), '', ...body, ...Array<string>(rows).fill('')].slice(0, rows - 1);
    this.#screen.draw([...filled, this.#foot(paper)]);
  }

  #head(paper: Paper): string {
    const { version, stage, startedAt, now, frontends, backends } = this.#status;
    if (this.#fault !== '') return line([{ text: this.#fault, style: 'red' }], paper);
    const open = rowsOf(frontends).reduce((sum, { connections }) => sum + Number(connections ?? 0), 0);
    const rate = (key: string): number => rowsOf(backends).reduce((sum, row) => sum + Number(row[key] ?? 0), 0);
    const moving = `${byteRate(rate('bytesInPerSecond'))} in, ${byteRate(rate('bytesOutPerSecond'))} out`;
    const age = startedAt === undefined ? '' : ` for ${since(startedAt, now)}`;
    const state: Cell = { text: text(stage), style: stage === 'running' ? 'green' : 'yellow' };
    return line([`berth ${text(version)}, `, state, `${age}; ${counted(open, 'connection')}, ${moving}`], paper);
  }

  #servers(paper: Paper): string[] {
    const { backends, now } = this.#status;
    return rowsOf(backends).flatMap((backend) => [
      backendTitle(backend, paper),
      ...new Table(serverColumns(now), paper, '  ').lines(sorted(rowsOf(backend['servers']), this.#sort.field)),
    ]);
  }

  #busiest(paper: Paper): string[] {
    const field = this.#clientField;
    const what = field === undefined ? 'busiest clients' : `busy clients by ${this.#sort.by}`;
    const title: Cell = { text: `${what} (of ${count(this.#inAll)})`, style: 'bold' };
    return ['', line([title], paper), ...new Table(SESSION, paper, '  ').lines(sorted(this.#sessions, field))];
  }

  #lastEvents(paper: Paper, room: number): string[] {
    if (room < 3) return [];
    const lines = this.#events.slice(2 - room).map((cell) => line(['  ', cell], paper));
    return ['', line([{ text: 'last events', style: 'bold' }], paper), ...lines];
  }

  #foot(paper: Paper): string {
    const keys = `q ends   s sorts (by ${this.#sort.by})   j k or arrows scroll servers`;
    return line([{ text: keys, style: 'dim' }], paper);
  }
}

const LEVELS: Readonly<Record<string, Style>> = { warn: 'yellow', error: 'red', fatal: 'red' };
