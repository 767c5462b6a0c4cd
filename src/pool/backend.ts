import type { BackendConfig } from '../config/schema.ts';
import { choose, type Choice } from './choose.ts';
import { clientKey, type Prefix } from './client-key.ts';
import type { PoolObserver } from './observer.ts';
import { POLICIES, type Policy } from './policies.ts';
import { Server } from './server.ts';
import { StickTable } from './stick-table.ts';

/** A start does not wait longer than this for the names of its servers. */
const FIRST_ANSWERS_MS = 5_000;

/** A group of servers with one balancing policy and one stick table. */
export class Backend {
  readonly name: string;
  readonly config: BackendConfig;
  readonly servers: readonly Server[];
  readonly table: StickTable<Server> | undefined;
  readonly #policy: Policy;
  readonly #prefix: Prefix | undefined;
  readonly #failback: boolean = false;
  #sweep: NodeJS.Timeout | undefined;

  constructor(name: string, config: BackendConfig, observer: PoolObserver) {
    this.name = name;
    this.config = config;
    this.#policy = POLICIES[config.balance]();
    if (config.stickTable !== false) {
      const { size, expire, failback } = config.stickTable;
      this.#failback = failback === 'return';
      const backups = Object.values(config.servers).some(({ backup }) => backup);
      this.table = new StickTable({ size, expireMs: expire, homes: this.#failback || backups });
      this.#prefix = config.stickTable.prefix;
    }
    this.servers = Object.entries(config.servers).map(
      ([serverName, server]) =>
        new Server({
          backend: name,
          name: serverName,
          config: server,
          healthCheck: config.healthCheck,
          resolveIntervalMs: server.resolveInterval ?? config.resolveInterval,
          observer,
        }),
    );
  }

  /** Begins to resolve and check; resolves when every name has had its first answer, or after a few seconds. */
  async start(): Promise<void> {
    this.#sweep = setInterval(() => this.table?.expire(), 1_000);
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_ANSWERS_MS);
    });
    await Promise.race([Promise.all(this.servers.map((server) => server.start())), enough]);
    clearTimeout(timer);
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const server of this.servers) server.close();
  }

  /** What the client at `address` is in the stick table; undefined where nothing sticks. */
  clientKey(address: string | undefined): string | undefined {
    return address === undefined || !this.#prefix ? undefined : clientKey(address, this.#prefix);
  }

  /** @see choose */
  choose(client: string | undefined, tried: ReadonlySet<Server>): Choice {
    const { servers, table } = this;
    return choose({ servers, policy: this.#policy, table, failback: this.#failback }, client, tried);
  }
}
