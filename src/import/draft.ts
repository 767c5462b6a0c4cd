import { Binds } from '../config/binds.ts';
import { Budget } from './budget.ts';
import type { Condition, Conditions, Lists } from './conditions.ts';
import { Outline, type Sourced } from './outline.ts';
import type { Ledger, Outcome } from './outcome.ts';
import type { Prefix } from './scalars.ts';
import type { Defaults, Section } from './sections.ts';
import type { Line } from './words.ts';

/** What the files and the machine around a haproxy.cfg say. */
export type Around = Lists & {
  /** Where the bindings of a dumped table are written, if there is one. */
  readonly stateFile?: string | undefined;
};

export type RuleLayer = 'connection' | 'session' | 'content';
/** `tcp-request LAYER accept|reject CONDITION`. */
export type Rule = {
  readonly layer: RuleLayer;
  readonly admits: boolean;
  readonly condition: Condition;
  readonly line: Line;
};
export type Route = { readonly condition: Condition; readonly backend: string; readonly line: Line };

/** The answer of a server to one key of the health check, which all servers of a backend share in Berth. */
export type CheckKeys = Map<string, Sourced<string | number | boolean>>;
/** What the options of servers have come to. */
export type ServerOptions = {
  readonly keys: Outline;
  readonly check: CheckKeys;
  isChecked: boolean;
  closesOnDown: Sourced<boolean> | undefined;
  resolvers: string | undefined;
  /** The line that says so. */
  disabled: number | undefined;
  tls: number | undefined;
};
export type ServerDraft = Readonly<ServerOptions> & {
  readonly name: string;
  readonly line: number;
  readonly address: string;
  /** Missing where the server is connected to at the port of the client's connection. */
  readonly port: string | undefined;
};

export function noOptions(line: number): ServerOptions {
  return {
    keys: new Outline(line),
    check: new Map(),
    isChecked: false,
    closesOnDown: undefined,
    resolvers: undefined,
    disabled: undefined,
    tls: undefined,
  };
}

/** A copy for the server of line `line`. */
export function optionsLike(options: ServerOptions, line: number): ServerOptions {
  const keys = new Outline(line);
  keys.takeOver(options.keys);
  return { ...options, keys, check: new Map(options.check) };
}

/** A rule is judged with all others of its section. */
const STEPS_OF_A_RULE = 5;

/** The text of a bind changes where a wider bind takes its place. */
export type BindDraft = { value: string; readonly line: number };

export type TableDraft = {
  readonly line: number;
  readonly type: string;
  readonly size: string | undefined;
  readonly expire: string | undefined;
  readonly hasPeers: boolean;
  /** Counters of the table, with the milliseconds that they count. */
  readonly windows: ReadonlyMap<string, number>;
};
export type StickDraft = {
  readonly line: number;
  readonly text: string;
  readonly table: string | undefined;
  readonly prefix: Prefix;
};

/** What `track-sc` counts, in which table. */
type Tracked = { readonly line: number; readonly table: string | undefined; readonly prefix: Prefix };

/** One `frontend`, `backend` or `listen`, as far as it has been read. */
export class ProxyDraft {
  readonly section: Section;
  readonly conditions: Conditions;
  readonly front: Outline;
  readonly back: Outline;
  readonly binds = new Set<BindDraft>();
  readonly colliding = new Binds<BindDraft>();
  /** `mode` and `group` of unix sockets, by their binds. */
  readonly socketOptions = new Map<string, readonly (readonly [key: string, value: string | number])[]>();
  /** The binds of TLS that HAProxy ends, and those that await a PROXY header. */
  readonly tlsBinds: number[] = [];
  readonly proxyBinds: number[] = [];
  readonly acceptProxy: Sourced<string>[] = [];
  readonly rules: Rule[] = [];
  readonly routes: Route[] = [];
  readonly timeouts = new Map<string, Sourced<number>>();
  readonly servers: ServerDraft[] = [];
  /** The servers' names. */
  readonly serverNames = new Set<string>();
  readonly check = new Outline();
  /** What servers have that say nothing else. */
  serverDefaults: ServerOptions;
  /** The counters that rules ask for first. */
  tracked: Tracked | undefined;
  table: TableDraft | undefined;
  stick: StickDraft | undefined;
  disabled: number | undefined;

  constructor(section: Section, conditions: Conditions) {
    this.section = section;
    this.conditions = conditions;
    this.serverDefaults = noOptions(section.number);
    this.front = new Outline(section.number);
    this.back = new Outline(section.number);
  }

  /** Begins where `base`, which has been read from `defaults`, has come to. */
  inherit(base: ProxyDraft, budget: Budget): void {
    const { number } = this.section;
    for (const part of ['front', 'back', 'check'] as const) this[part].takeOver(base[part]);
    for (const [name, time] of base.timeouts) this.timeouts.set(name, time);
    this.serverDefaults = optionsLike(base.serverDefaults, number);
    this.tracked = base.tracked;
    this.disabled = base.disabled;
    this.conditions.inherit(base.conditions, number);
    const rules = base.rules.length * STEPS_OF_A_RULE;
    if (!budget.spend(rules + base.acceptProxy.length + base.proxyBinds.length, number)) return;
    for (const rule of base.rules) this.rules.push(rule);
    for (const network of base.acceptProxy) this.acceptProxy.push(network);
    for (const line of base.proxyBinds) this.proxyBinds.push(line);
  }

  get name(): string {
    return this.section.name;
  }

  get isFrontend(): boolean {
    return this.section.kind !== 'backend';
  }

  get isBackend(): boolean {
    return this.section.kind !== 'frontend';
  }
}

/** Reads one line into a draft; returns what became of the line where that is not what the table says. */
export type Reader = (draft: ProxyDraft, args: readonly string[], line: Line, file: FileDraft) => Outcome | undefined;

/** The frontends, backends and listens of a file, in their order and by their names. */
export class Proxies {
  readonly #all: ProxyDraft[] = [];
  readonly #named = new Map<string, ProxyDraft>();
  readonly #frontends = new Set<string>();
  /** The last number that was given behind a name. */
  readonly #counts = new Map<string, number>();
  readonly #backends = new Map<string, ProxyDraft>();
  /** How many backends keep their clients in each table. */
  readonly #sharers = new Map<string, number>();

  get all(): readonly ProxyDraft[] {
    return this.#all;
  }

  add(draft: ProxyDraft): void {
    const { name, isFrontend, isBackend } = draft;
    this.#all.push(draft);
    if (!this.#named.has(name)) this.#named.set(name, draft);
    if (isFrontend) this.#frontends.add(name);
    if (isBackend && !this.#backends.has(name)) this.#backends.set(name, draft);
    const table = draft.stick && (draft.stick.table ?? name);
    if (table !== undefined) this.#sharers.set(table, this.sharers(table) + 1);
  }

  sharers(table: string): number {
    return this.#sharers.get(table) ?? 0;
  }

  /** The first of the name. */
  named(name: string): ProxyDraft | undefined {
    return this.#named.get(name);
  }

  /** `wanted`, or `wanted_2` and so on where frontends have the name. */
  freeFrontendName(wanted: string): string {
    let name = wanted;
    let count = this.#counts.get(wanted) ?? 1;
    while (this.#frontends.has(name)) name = `${wanted}_${++count}`;
    this.#counts.set(wanted, count);
    return name;
  }

  backend(name: string): ProxyDraft | undefined {
    return this.#backends.get(name);
  }
}

/** The file, as far as it has been read. */
export type FileDraft = {
  readonly around: Around;
  readonly ledger: Ledger;
  readonly proxies: Proxies;
  /** Keys of balancer.yml that hold for everything. */
  readonly root: Outline;
  /** The addresses of the frontends that have been written. */
  readonly taken: Binds<Sourced<string>>;
  readonly resolvers: Map<string, Sourced<number>>;
  readonly budget: Budget;
  /** What each `defaults` section that has been read has come to. */
  readonly defaults: Map<Defaults, ProxyDraft>;
  maxconn: Sourced<number> | undefined;
  /** The options that every unix socket has, and what stands before its path. */
  unixBind: readonly string[];
  unixPrefix: string;
  caBase: string;
};

export function emptyDraft(around: Around, ledger: Ledger): FileDraft {
  return {
    around,
    ledger,
    proxies: new Proxies(),
    root: new Outline(),
    taken: new Binds(),
    resolvers: new Map(),
    budget: new Budget(),
    defaults: new Map(),
    maxconn: undefined,
    unixBind: [],
    unixPrefix: '',
    caBase: '',
  };
}
