import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig, StaticServerConfig } from '../config/schema.ts';
import { formatEndpoint, type Endpoint } from '../config/values.ts';
import { choose, type Choice } from './choose.ts';
import { clientKey } from './client-key.ts';
import { Discovery } from './discovery.ts';
import type { PoolObserver } from './observer.ts';
import { POLICIES, type Policy } from './policies.ts';
import { Server } from './server.ts';
import { StickTable, type StickTableOptions } from './stick-table.ts';

/** A start does not wait longer than this for the names of its servers. */
const FIRST_ANSWERS_MS = 5_000;

/** A group of servers with one balancing policy and one stick table. */
export class Backend {
  readonly name: string;
  readonly #observer: PoolObserver;
  #config: BackendConfig;
  #servers: readonly Server[] = [];
  #policy: Policy;
  #table: StickTable<Server> | undefined;
  /** What DNS has found for the entries that ask it. */
  readonly #found = new Map<string, readonly Endpoint[]>();
  readonly #discoveries = new Map<string, Discovery>();
  #sweep: NodeJS.Timeout | undefined;
  #started = false;

  constructor(name: string, config: BackendConfig, observer: PoolObserver) {
    this.name = name;
    this.#config = config;
    this.#observer = observer;
    this.#policy = POLICIES[config.balance]();
    if (config.stickTable !== false) this.#table = new StickTable(tableOptions(config));
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
    for (const part of [...this.#servers, ...this.#discoveries.values()]) part.close();
  }

  /**
   * Goes on under another configuration. Servers of the same name and address keep health, state and connections; others
   * are new; those that are left are retired. Bindings stay unless what a client is has changed.
   */
  apply(config: BackendConfig): void {
    const before = this.#config;
    this.#config = config;
    if (config.balance !== before.balance) this.#policy = POLICIES[config.balance]();
    this.#applyTable(before.stickTable, config);
    this.#reconcile();
  }

  /** What the client at `address` is in the stick table; undefined where nothing sticks. */
  clientKey(address: string | undefined): string | undefined {
    const { stickTable } = this.#config;
    return address === undefined || stickTable === false ? undefined : clientKey(address, stickTable.prefix);
  }

  /** @see choose */
  choose(client: string | undefined, tried: ReadonlySet<Server>): Choice {
    const { stickTable } = this.#config;
    const failback = stickTable !== false && stickTable.failback === 'return';
    return choose({ servers: this.#servers, policy: this.#policy, table: this.#table, failback }, client, tried);
  }

  #applyTable(before: BackendConfig['stickTable'], config: BackendConfig): void {
    const { stickTable } = config;
    if (stickTable === false) this.#table = undefined;
    else if (before === false || !isDeepStrictEqual(before.prefix, stickTable.prefix)) {
      this.#table = new StickTable(tableOptions(config));
    } else if (!isDeepStrictEqual(before, stickTable)) this.#table?.change(tableOptions(config));
  }

  /** Makes the servers what the configuration and DNS say. */
  #reconcile(): void {
    this.#reconcileDiscoveries();
    const old = new Map(this.#servers.map((server) => [server.name, server]));
    const added: Server[] = [];
    this.#servers = this.#wanted().map(({ name, config, resolveIntervalMs }) => {
      const same = old.get(name);
      if (same?.isAt(config) === true && same.resolveIntervalMs === resolveIntervalMs) {
        old.delete(name);
        same.apply(config, this.#config.healthCheck);
        return same;
      }
      const { healthCheck } = this.#config;
      const observer = this.#observer;
      const fresh = new Server({ backend: this.name, name, config, healthCheck, resolveIntervalMs, observer });
      added.push(fresh);
      return fresh;
    });
    for (const server of old.values()) server.retire();
    if (this.#started) void this.#firstAnswers(added);
  }

  #reconcileDiscoveries(): void {
    const old = new Map(this.#discoveries);
    this.#discoveries.clear();
    for (const [name, { address, resolveInterval }] of Object.entries(this.#config.servers)) {
      if (!('discover' in address)) continue;
      const intervalMs = resolveInterval ?? this.#config.resolveInterval;
      const key = JSON.stringify([name, address, intervalMs]);
      let discovery = old.get(key);
      if (!discovery) {
        this.#found.delete(name);
        discovery = new Discovery(address, intervalMs, (endpoints) => {
          this.#found.set(name, endpoints);
          this.#reconcile();
        });
        if (this.#started) void discovery.start();
      }
      old.delete(key);
      this.#discoveries.set(key, discovery);
    }
    for (const discovery of old.values()) discovery.close();
  }

  /** One server for each entry, or for each address that DNS has found for it, called after that address. */
  #wanted(): { name: string; config: StaticServerConfig; resolveIntervalMs: number }[] {
    return Object.entries(this.#config.servers).flatMap(([name, config]) => {
      const { address } = config;
      const resolveIntervalMs = config.resolveInterval ?? this.#config.resolveInterval;
      if (!('discover' in address)) return [{ name, config: { ...config, address }, resolveIntervalMs }];
      const endpoints = (this.#found.get(name) ?? []).map((endpoint) => [formatEndpoint(endpoint), endpoint] as const);
      return [...new Map(endpoints)]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([text, found]) => ({
          name: `${name}-${text}`,
          config: { ...config, address: found },
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

function tableOptions({ stickTable, servers }: BackendConfig): StickTableOptions {
  if (stickTable === false) throw new TypeError('there is no stick table');
  // Where there are backups, their clients must find the way back.
  const homes = stickTable.failback === 'return' || Object.values(servers).some(({ backup }) => backup);
  return { size: stickTable.size, expireMs: stickTable.expire, homes };
}
