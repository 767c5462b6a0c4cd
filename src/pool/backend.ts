import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig } from '../config/schema.ts';
import { choose, type Choice } from './choose.ts';
import { clientKey } from './client-key.ts';
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
  #sweep: NodeJS.Timeout | undefined;

  constructor(name: string, config: BackendConfig, observer: PoolObserver) {
    this.name = name;
    this.#config = config;
    this.#observer = observer;
    this.#policy = POLICIES[config.balance]();
    if (config.stickTable !== false) this.#table = new StickTable(tableOptions(config));
    this.#servers = Object.keys(config.servers).map((server) => this.#newServer(server));
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
    this.#sweep = setInterval(() => this.#table?.expire(), 1_000);
    await firstAnswers(this.#servers);
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const server of this.#servers) server.close();
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
    const old = new Map(this.#servers.map((server) => [server.name, server]));
    const added: Server[] = [];
    this.#servers = Object.entries(config.servers).map(([name, server]) => {
      const same = old.get(name);
      if (same?.isAt(server) === true && same.resolveIntervalMs === this.#resolveIntervalMs(name)) {
        old.delete(name);
        same.apply(server, config.healthCheck);
        return same;
      }
      const fresh = this.#newServer(name);
      added.push(fresh);
      return fresh;
    });
    for (const server of old.values()) server.retire();
    void firstAnswers(added);
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

  #resolveIntervalMs(server: string): number {
    return this.#config.servers[server]?.resolveInterval ?? this.#config.resolveInterval;
  }

  #newServer(name: string): Server {
    const config = this.#config.servers[name];
    if (!config) throw new TypeError(`there is no server ${name} in ${this.name}`);
    return new Server({
      backend: this.name,
      name,
      config,
      healthCheck: this.#config.healthCheck,
      resolveIntervalMs: this.#resolveIntervalMs(name),
      observer: this.#observer,
    });
  }
}

function tableOptions({ stickTable, servers }: BackendConfig): StickTableOptions {
  if (stickTable === false) throw new TypeError('there is no stick table');
  // Where there are backups, their clients must find the way back.
  const homes = stickTable.failback === 'return' || Object.values(servers).some(({ backup }) => backup);
  return { size: stickTable.size, expireMs: stickTable.expire, homes };
}

async function firstAnswers(servers: readonly Server[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FIRST_ANSWERS_MS);
  });
  await Promise.race([Promise.all(servers.map((server) => server.start())), enough]);
  clearTimeout(timer);
}
