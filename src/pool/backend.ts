import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig, StaticServerConfig } from '../config/schema.ts';
import { formatEndpoint, type Discovered, type Endpoint } from '../config/values.ts';
import { choose, keptServer, type Choice, type Pool } from './choose.ts';
import { clientKey } from './client-key.ts';
import { Discovery } from './discovery.ts';
import type { PoolObserver } from './observer.ts';
import { POLICIES, type Policy } from './policies.ts';
import { Server } from './server.ts';
import { StickTable, type StickTableOptions } from './stick-table.ts';

/** A start does not wait longer than this for the names of its servers. */
const FIRST_ANSWERS_MS = 5_000;

/** What makes one client where no stick table says so. */
const ONE_HOST = { ipv4: 32, ipv6: 64 };

/** A group of servers with one balancing policy and one stick table. */
export class Backend {
  readonly name: string;
  readonly #observer: PoolObserver;
  #config: BackendConfig;
  #servers: readonly Server[] = [];
  /** Servers of a configuration that is not in force yet. */
  readonly #prepared = new Map<string, Server>();
  #policy: Policy;
  #table: StickTable<Server> | undefined;
  /** What is asked of DNS, and what it has found, by question. */
  readonly #discoveries = new Map<string, Discovery>();
  readonly #found = new Map<string, readonly Endpoint[]>();
  #sweep: NodeJS.Timeout | undefined;
  #started = false;

  constructor(name: string, config: BackendConfig, observer: PoolObserver) {
    this.name = name;
    this.#config = config;
    this.#observer = observer;
    this.#policy = POLICIES[config.balance]();
    if (config.stickTable !== false) this.#table = new StickTable(tableOptions(config));
    this.#ask(config);
    this.#reconcile();
  }

  get config(): BackendConfig {
    return this.#config;
  }

  get servers(): readonly Server[] {
    return this.#servers;
  }

  get table(): StickTable<Server> | undefined {
    return this.#table;
  }

  /** Begins to resolve and check; resolves when every name has had its first answer, or after a few seconds. */
  async start(): Promise<void> {
    this.#started = true;
    this.#sweep = setInterval(() => this.#table?.expire(), 1_000);
    await this.#firstAnswers([...this.#servers, ...this.#discoveries.values()]);
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const part of [...this.#servers, ...this.#prepared.values(), ...this.#discoveries.values()]) part.close();
  }

  /**
   * Makes and starts what `config` adds, beside what runs, so that `apply` leaves no moment without servers. Resolves as
   * `start` does.
   */
  async prepare(config: BackendConfig): Promise<void> {
    const asked = this.#ask(config);
    const known = new Set(this.#servers.map(({ name }) => name));
    for (const wanted of this.#wanted(config)) {
      if (!known.has(wanted.name)) this.#prepared.set(wanted.name, this.#newServer(wanted, config));
    }
    await this.#firstAnswers([...this.#prepared.values(), ...asked]);
  }

  /** What was prepared and is not in force is not wanted any more. */
  forget(): void {
    for (const server of this.#prepared.values()) server.close();
    this.#prepared.clear();
    const asked = this.#ask(this.#config);
    if (this.#started) void this.#firstAnswers(asked);
    const wanted = new Set(questions(this.#config).map(({ key }) => key));
    for (const [key, discovery] of this.#discoveries) {
      if (wanted.has(key)) continue;
      discovery.close();
      this.#discoveries.delete(key);
      this.#found.delete(key);
    }
  }

  /**
   * Goes on under another configuration. Servers of the same name keep health, state and connections; others are new; those
   * that are left are retired. Bindings stay unless what a client is has changed.
   */
  apply(config: BackendConfig): void {
    const before = this.#config;
    this.#config = config;
    if (config.balance !== before.balance) this.#policy = POLICIES[config.balance]();
    this.#applyTable(before, config);
    this.#reconcile();
    this.forget();
  }

  /** What the client at `address` is in the stick table, and for a policy that goes by clients. */
  clientKey(address: string | undefined): string | undefined {
    const { stickTable } = this.#config;
    return address === undefined ? undefined : clientKey(address, stickTable === false ? ONE_HOST : stickTable.prefix);
  }

  /** @see choose */
  choose(client: string | undefined, tried: ReadonlySet<Server>): Choice {
    return choose(this.#pool, client, tried);
  }

  /** The binding of a client, and where its next connection goes by it; undefined where it has none, or it leads nowhere. */
  binding(
    client: string,
  ): { bound: Server; connections: number; expiresMs: number | undefined; next: Server | undefined } | undefined {
    const binding = this.#table?.peek(client);
    if (!binding) return undefined;
    const { server: bound, ...rest } = binding;
    return { bound, ...rest, next: keptServer(this.#pool, client, bound, new Set()) };
  }

  get #pool(): Pool {
    const { stickTable } = this.#config;
    const failback = stickTable !== false && stickTable.failback === 'return';
    return { servers: this.#servers, policy: this.#policy, table: this.#table, failback };
  }

  #applyTable(before: BackendConfig, config: BackendConfig): void {
    if (config.stickTable === false) this.#table = undefined;
    else if (before.stickTable === false || !isDeepStrictEqual(before.stickTable.prefix, config.stickTable.prefix)) {
      this.#table = new StickTable(tableOptions(config));
    } else if (!isDeepStrictEqual(tableOptions(before), tableOptions(config))) {
      this.#table?.change(tableOptions(config));
    }
  }

  /** Makes the servers what the configuration and DNS say. */
  #reconcile(): void {
    const { healthCheck } = this.#config;
    const old = new Map(this.#servers.map((server) => [server.name, server]));
    const before = new Set(this.#servers);
    const added: Server[] = [];
    this.#servers = this.#wanted(this.#config).map((wanted) => {
      const { name, config, resolveIntervalMs } = wanted;
      const known = old.get(name) ?? this.#prepared.get(name);
      if (known) {
        old.delete(name);
        this.#prepared.delete(name);
        known.apply(config, healthCheck, resolveIntervalMs);
        return known;
      }
      const fresh = this.#newServer(wanted, this.#config);
      added.push(fresh);
      return fresh;
    });
    for (const server of old.values()) {
      server.retire();
      this.#observer.serverLeft(server);
    }
    for (const server of this.#servers) if (!before.has(server)) this.#observer.serverCame(server);
    if (this.#started) void this.#firstAnswers(added);
  }

  #newServer({ name, config, resolveIntervalMs }: Wanted, { healthCheck }: BackendConfig): Server {
    return new Server({ backend: this.name, name, config, healthCheck, resolveIntervalMs, observer: this.#observer });
  }

  /** Makes, and does not start, what must be asked of DNS for `config` and is not asked yet. */
  #ask(config: BackendConfig): Discovery[] {
    return questions(config).flatMap(({ key, address, intervalMs }) => {
      const same = this.#discoveries.get(key);
      if (same?.intervalMs === intervalMs) return [];
      same?.close();
      const discovery = new Discovery(address, intervalMs, (endpoints) => {
        this.#found.set(key, endpoints);
        this.#reconcile();
      });
      this.#discoveries.set(key, discovery);
      return [discovery];
    });
  }

  /** One server for each entry, or for each address that DNS has found for it, called after that address. */
  #wanted(backend: BackendConfig): Wanted[] {
    return Object.entries(backend.servers).flatMap(([name, config]) => {
      const { address } = config;
      const resolveIntervalMs = config.resolveInterval ?? backend.resolveInterval;
      if (!('discover' in address)) return [{ name, config: { ...config, address }, resolveIntervalMs }];
      const found = this.#found.get(questionKey(name, address)) ?? [];
      const endpoints = found.map((endpoint) => [formatEndpoint(endpoint), endpoint] as const);
      return [...new Map(endpoints)]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([text, endpoint]) => ({
          name: `${name}-${text}`,
          config: { ...config, address: endpoint },
          resolveIntervalMs,
        }));
    });
  }

  async #firstAnswers(parts: readonly { start(): Promise<void> }[]): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_ANSWERS_MS);
    });
    await Promise.race([Promise.all(parts.map((part) => part.start())), enough]);
    clearTimeout(timer);
  }
}

type Wanted = { readonly name: string; readonly config: StaticServerConfig; readonly resolveIntervalMs: number };
type Question = { readonly key: string; readonly address: Discovered; readonly intervalMs: number };

const questionKey = (name: string, address: Discovered): string => JSON.stringify([name, address]);

/** What a configuration asks DNS for. */
function questions({ servers, resolveInterval: standard }: BackendConfig): Question[] {
  return Object.entries(servers).flatMap(([name, { address, resolveInterval }]) =>
    'discover' in address
      ? [{ key: questionKey(name, address), address, intervalMs: resolveInterval ?? standard }]
      : [],
  );
}

function tableOptions({ stickTable, servers }: BackendConfig): StickTableOptions {
  if (stickTable === false) throw new TypeError('there is no stick table');
  // Where there are backups, their clients must find the way back.
  const homes = stickTable.failback === 'return' || Object.values(servers).some(({ backup }) => backup);
  return { size: stickTable.size, expireMs: stickTable.expire, homes };
}
