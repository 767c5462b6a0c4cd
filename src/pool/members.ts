import type { BackendConfig } from '../config/schema.ts';
import type { Step } from '../step.ts';
import { Discovery, type AskDns } from './discovery.ts';
import { NameNews, type Named } from './named.ts';
import type { PoolObserver, Wake } from './observer.ts';
import { newProbe, type Probe } from './probe/probe.ts';
import type { Lookup } from './resolve.ts';
import { Server } from './server.ts';
import type { Sessions } from './shared/sharing.ts';
import { namesOf, questions, servesAtOnce, wanted, type ServerTerms } from './terms.ts';

/** A plan does not wait longer than this for the names of its servers. */
export const FIRST_ANSWERS_MS = 5_000;
/**
 * A plan that has a server without them waits so long: names that resolve at all have done so, and clients that are
 * bound to their servers find them.
 */
export const SOON_MS = 250;

/** What a test puts in the place of DNS, checks, clock and Redis; the real ones are used where a part is left out. */
export type PoolParts = {
  readonly lookup?: Lookup;
  readonly ask?: AskDns;
  readonly probe?: Probe;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  readonly sessions?: Sessions;
};

/** A step of a backend, and when it is worth committing. */
export type PoolStep = Step & {
  /** Resolves when every new name has had its first answer, or after a few seconds; never rejects. */
  readonly ready: Promise<unknown>;
  /** The servers that would be in force by now, by name. */
  servers(): ReadonlyMap<string, ServerTerms>;
};

/**
 * Who the servers of one backend are: what the configuration names, and what DNS finds for it. A server's identity is
 * its name: a server that leaves, by a reload or by an answer of DNS, is kept under its name for a while, and if the
 * name comes back meanwhile, the same server comes back, with its operator's state, counters and clients' bindings.
 */
export class Members {
  readonly #backend: string;
  readonly #observer: PoolObserver;
  readonly #parts: PoolParts;
  readonly #news: NameNews;
  readonly #now: () => number;
  readonly #wake: Wake;
  /** The servers of a backend share it. */
  readonly #probe: Probe;
  #config: BackendConfig | undefined;
  /** What DNS is asked for the configuration in force, by question. */
  #discoveries = new Map<string, Discovery>();
  /** The servers in force, in the order of the configuration. */
  #servers: readonly Server[] = [];
  /** Every server there is, by name, whatever its stage. */
  readonly #known = new Map<string, Server>();
  /** When each server that is away has left, on the clock of `#now`. */
  readonly #leftMs = new Map<Server, number>();
  #closed = false;
  /** Servers are changing one after another: what they are together is not seen in between. */
  #reconciling = false;

  constructor(backend: string, observer: PoolObserver, wake: Wake, parts: PoolParts) {
    this.#backend = backend;
    this.#observer = observer;
    this.#parts = parts;
    this.#wake = wake;
    this.#news = new NameNews(observer);
    this.#now = parts.now ?? (() => performance.now());
    this.#probe = parts.probe ?? newProbe();
  }

  /** The servers in force. */
  get servers(): readonly Server[] {
    return this.#servers;
  }

  /** The names that the configuration in force has. */
  get names(): readonly Named[] {
    return this.#config ? namesOf(this.#backend, this.#config, this.#discoveries, this.#servers) : [];
  }

  /** Makes and starts what `config` adds, beside what runs. It is ready within `patienceMs`. */
  plan(config: BackendConfig, patienceMs = FIRST_ANSWERS_MS): PoolStep {
    /** Servers that this plan has brought, with their former terms: undefined for a server that did not exist. */
    const brought = new Map<Server, ServerTerms | undefined>();
    const answers: Promise<void>[] = [];
    const bring = (): void => {
      for (const [name, terms] of wanted(config, discoveries)) {
        const known = this.#known.get(name);
        if (known && known.stage !== 'away') continue;
        const server = known ?? this.#newServer(name, terms);
        brought.set(server, known?.config);
        answers.push(server.start(terms));
      }
    };
    const [discoveries, asked] = this.#ask(config, bring);
    bring();
    const first = Promise.all([...asked].map((discovery) => discovery.start())).then(() => Promise.all(answers));
    const kept = wanted(config, discoveries);
    const running = this.#servers.some((server) => server.usable && kept.has(server.name));
    const canServe = running || servesAtOnce(config);
    const { ready, stop } = within(canServe ? Math.min(SOON_MS, patienceMs) : patienceMs, first);
    return {
      ready,
      servers: () => wanted(config, discoveries),
      commit: () => {
        stop();
        this.#config = config;
        for (const [key, discovery] of this.#discoveries) {
          if (discoveries.get(key) !== discovery) discovery.close();
        }
        this.#discoveries = discoveries;
        for (const { key, intervalMs } of questions(config)) discoveries.get(key)?.retime(intervalMs);
        this.#reconcile();
        this.#drop(brought);
        this.#news.tell(this.names);
      },
      rollback: () => {
        stop();
        for (const discovery of asked) discovery.close();
        this.#drop(brought);
      },
    };
  }

  /**
   * Forgets the servers that left `keepMs` ago or earlier, unless a server still has connections, or `isBound` says
   * that clients are bound to the server.
   */
  forget(keepMs: number, isBound: (server: Server) => boolean): void {
    for (const [server, leftMs] of this.#leftMs) {
      if (this.#now() - leftMs < keepMs || server.stage !== 'away') continue;
      if (server.connections > 0 || isBound(server)) continue;
      this.#leftMs.delete(server);
      this.#known.delete(server.name);
    }
  }

  /** Asks and checks nothing any more, until the next commit. The servers stay as usable as they are. */
  close(): void {
    this.#closed = true;
    for (const part of [...this.#servers, ...this.#discoveries.values()]) part.close();
  }

  /** Makes the servers in force what the configuration and DNS say. */
  #reconcile(): void {
    if (!this.#config) return;
    this.#reconciling = true;
    const before = new Set(this.#servers);
    const came: Server[] = [];
    this.#servers = [...wanted(this.#config, this.#discoveries)].map(([name, terms]) => {
      const server = this.#known.get(name) ?? this.#newServer(name, terms);
      if (!before.delete(server)) came.push(server);
      const unwatched = server.stage === 'away' || (server.stage === 'active' && this.#closed);
      if (unwatched) void server.start(terms);
      else server.change(terms);
      return server;
    });
    this.#closed = false;
    for (const server of before) {
      server.leave();
      this.#leftMs.set(server, this.#now());
      this.#observer.serverLeft(server);
    }
    for (const server of came) {
      this.#leftMs.delete(server);
      this.#observer.serverCame(server);
      server.enter();
    }
    this.#reconciling = false;
    this.#wake.changed();
  }

  /** Undoes what a plan has brought and is not in force. */
  #drop(brought: ReadonlyMap<Server, ServerTerms | undefined>): void {
    for (const [server, former] of brought) {
      if (server.stage !== 'planned') continue;
      server.leave(former);
      if (!former) this.#known.delete(server.name);
    }
  }

  #newServer(name: string, config: ServerTerms): Server {
    const wake: Wake = {
      freed: (freed) => this.#wake.freed(freed),
      changed: () => {
        if (this.#isLost(server)) for (const discovery of this.#discoveries.values()) discovery.hurry();
        if (!this.#reconciling) this.#wake.changed();
      },
    };
    const [backend, observer, probe, lookup] = [this.#backend, this.#observer, this.#probe, this.#parts.lookup];
    const onNameAnswer = (): void => this.#news.tell(this.names);
    const server = new Server({ backend, name, config, observer, lookup, probe, wake, onNameAnswer });
    this.#known.set(name, server);
    return server;
  }

  /** DNS has named the server, and it is down. */
  #isLost({ name, health }: Server): boolean {
    return !health.up && this.#config?.servers[name] === undefined;
  }

  /**
   * The discoveries for `config` by question, and those among them that do not run yet; these call `onAnswer` after
   * each answer until they are in force. A discovery for a question that was asked before begins with what was found
   * then.
   */
  #ask(config: BackendConfig, onAnswer: () => void): [Map<string, Discovery>, Set<Discovery>] {
    const fresh = new Set<Discovery>();
    const all = questions(config).map(({ key, address, intervalMs }) => {
      const former = this.#discoveries.get(key);
      if (former && !this.#closed) return [key, former] as const;
      const answered = (): void => {
        if (this.#discoveries.get(key) !== discovery) return onAnswer();
        this.#reconcile();
        if (this.#servers.some((server) => this.#isLost(server))) discovery.hurry();
        this.#news.tell(this.names);
      };
      const parts = { ask: this.#parts.ask, found: former?.found };
      const discovery = new Discovery(address, intervalMs, answered, parts);
      fresh.add(discovery);
      return [key, discovery] as const;
    });
    return [new Map(all), fresh];
  }
}

/** `ready` resolves with `done`, with `stop`, or after `ms`, and leaves no timer. */
function within(ms: number, done: Promise<unknown>): { ready: Promise<void>; stop: () => void } {
  let stop!: () => void;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  const timer = setTimeout(stop, ms);
  const ready = Promise.race([done, stopped]).then(() => clearTimeout(timer));
  return {
    ready,
    stop: () => {
      clearTimeout(timer);
      stop();
    },
  };
}
