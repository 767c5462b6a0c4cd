import { pino, type Logger } from 'pino';
import { LOG_LEVELS, type Config } from './config/schema.ts';
import { EVENTS, LEVELS, type EventName, type FieldsOf } from './events.ts';
import { formOf, readershipOf, type Form, type Readership } from './line-form.ts';
import { Outlet, type Sink } from './outlet.ts';
import { STDOUT, standardOutput } from './standard-output.ts';

type LogConfig = Config['log'];
type LogLevel = LogConfig['level'];

/** How many events are kept for readers who come later; connections are not. */
const KEPT = 500;
/** A reload that fails may have many problems, each with a line of its own. */
const KEPT_BYTES = 1 << 20;
/** So that the sessions of a busy cluster do not drive out what has happened to its servers. */
const KEPT_SESSIONS = KEPT / 2;

/** An event as readers have it. `id` grows, from one process to the next too; a connection has the last event's. */
export type Told = { readonly id: number; readonly event: EventName; readonly line: string };
export type Reader = (told: Told) => void;

/** Whoever has something to tell. */
export type Teller = Pick<Log, 'tell' | 'connection' | 'session'>;

/**
 * What happens, as lines of JSON in the log, and as events for those who read along. Readers hear everything, whatever
 * the level of the log.
 */
export class Log {
  readonly outlet: Outlet;
  readonly #readership: Readership;
  /** What balancer.yml says. An operator may have set another level. */
  #config: LogConfig;
  #level: LogLevel;
  #form: Form | undefined;
  readonly #pino: Logger;
  /** pino writes the name of an event from its child's prefix, which costs nothing for each line. */
  readonly #children = new Map<EventName, Logger>();
  readonly #time = isoTime();
  /** What pino has written last. */
  #line = '';
  #lastId = Date.now() * 1_000;
  readonly #kept: Told[] = [];
  #keptBytes = 0;
  readonly #readers = new Set<Reader>();
  readonly #connectionReaders = new Set<Reader>();

  constructor(config: LogConfig, sink: Sink, readership: Readership) {
    this.#config = config;
    this.#level = config.level;
    this.#readership = readership;
    this.#form = formOf(config.format, readership);
    this.outlet = new Outlet(sink, (count) => this.#formed(this.#told('lines_dropped', { count }), 'lines_dropped'));
    const timestamp = this.#time;
    const formatters = { level: (label: string) => ({ level: label }) };
    const destination = { write: (line: string) => void (this.#line = line) };
    // Which lines are written is for `tell` to say.
    this.#pino = pino({ level: 'trace', base: null, timestamp, formatters }, destination);
  }

  get level(): LogLevel {
    return this.#level;
  }

  /** Lines below `level` are not written from now on. The line that says so is written if either level lets it. */
  set level(level: LogLevel) {
    const before = this.#level;
    if (level === before) return;
    const quieter = LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(before);
    if (!quieter) this.#level = level;
    this.tell('log_level', { least: level, before });
    this.#level = level;
  }

  /** Another configuration is in force. A level that an operator has set stays unless the configured one changes. */
  follow(config: LogConfig): void {
    if (config.format !== this.#config.format) this.#form = formOf(config.format, this.#readership);
    if (config.level !== this.#config.level) this.level = config.level;
    this.#config = config;
  }

  tell<N extends EventName>(name: N, ...[fields]: object extends FieldsOf<N> ? [] : [FieldsOf<N>]): void {
    const line = this.#told(name, fields ?? {});
    if (this.#writes(name)) this.outlet.write(this.#formed(line, name));
  }

  /** A connection has ended: told to those who want to hear of connections, and `written` unless the level forbids. */
  connection(record: FieldsOf<'connection'>, written: boolean): void {
    const writes = written && this.#writes('connection');
    if (!writes && this.#connectionReaders.size === 0) return;
    const line = connectionLine(this.#time(), record);
    if (writes) this.outlet.write(this.#formed(line, 'connection'));
    if (this.#connectionReaders.size === 0) return;
    const told = { id: this.#lastId, event: 'connection', line: line.trimEnd() } as const;
    for (const read of this.#connectionReaders) read(told);
  }

  /** A session has ended: told to every reader, and `written` unless the level forbids. */
  session(fields: FieldsOf<'session'>, written: boolean): void {
    const line = this.#told('session', fields);
    if (written && this.#writes('session')) this.outlet.write(this.#formed(line, 'session'));
  }

  /** `read` hears every event from now on, but connections only where it asks for them. Call the result to end it. */
  subscribe(read: Reader, connections = false): () => void {
    this.#readers.add(read);
    if (connections) this.#connectionReaders.add(read);
    return () => {
      this.#readers.delete(read);
      this.#connectionReaders.delete(read);
    };
  }

  /** The last events, at most `most` of them, oldest first. */
  recent(most: number): readonly Told[] {
    return most > 0 ? this.#kept.slice(-most) : [];
  }

  /** Resolves when the lines that are left are written. */
  close(): Promise<void> {
    return this.outlet.close();
  }

  #writes(name: EventName): boolean {
    return this.#level !== 'silent' && LEVELS[EVENTS[name].level] >= LEVELS[this.#level];
  }

  #formed(line: string, name: EventName): string {
    return this.#form ? this.#form(line, EVENTS[name].level) : line;
  }

  /** Makes the line, and lets the readers have it. */
  #told(event: EventName, fields: object): string {
    const { level, msg } = EVENTS[event];
    this.#childOf(event)[level](fields, filled(msg, fields));
    const line = this.#line;
    const told = { id: ++this.#lastId, event, line: line.trimEnd() };
    this.#keep(told);
    for (const read of this.#readers) read(told);
    return line;
  }

  #keep(told: Told): void {
    this.#kept.push(told);
    this.#keptBytes += told.line.length;
    while (this.#kept.length > KEPT || this.#keptBytes > KEPT_BYTES) {
      const sessions = this.#kept.filter(({ event }) => event === 'session').length;
      const oldest = sessions > KEPT_SESSIONS ? this.#kept.findIndex(({ event }) => event === 'session') : 0;
      for (const { line } of this.#kept.splice(oldest, 1)) this.#keptBytes -= line.length;
    }
  }

  #childOf(event: EventName): Logger {
    let child = this.#children.get(event);
    if (!child) this.#children.set(event, (child = this.#pino.child({ event })));
    return child;
  }
}

/** Lines on standard output. */
export function openLog(config: LogConfig): Log {
  return new Log(config, standardOutput(), readershipOf(STDOUT, process.env));
}

const [BEFORE_TIME, AFTER_TIME, BEHIND] = ((): readonly string[] => {
  const { level, msg } = EVENTS.connection;
  return [`{"level":"${level}"`, `,"event":"${'connection' satisfies EventName}",`, `,"msg":"${msg}"}\n`];
})();

/** The line that pino would write. pino's walk over the fields costs a connection three times as much. */
function connectionLine(time: string, record: FieldsOf<'connection'>): string {
  return `${BEFORE_TIME}${time}${AFTER_TIME}${JSON.stringify(record).slice(1, -1)}${BEHIND}`;
}

/** `msg` with the values of the fields that it names. */
function filled(msg: string, fields: object): string {
  const values = new Map<string, unknown>(Object.entries(fields));
  return msg.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(values.get(name)));
}

/** The time as pino writes it. What a second begins with is made once a second: to format a date is dear. */
function isoTime(): () => string {
  let second = -1;
  let text = '';
  return () => {
    const nowMs = Date.now();
    const ms = nowMs % 1_000;
    if (nowMs - ms !== second) {
      second = nowMs - ms;
      text = `,"time":"${new Date(second).toISOString().slice(0, -'000Z'.length)}`;
    }
    return `${text}${String(ms).padStart(3, '0')}Z"`;
  };
}
