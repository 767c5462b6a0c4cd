import type { BackendConfig } from '../config/schema.ts';
import { foresee, keptServer, type Pool } from './choose.ts';
import { clientKey } from './client-key.ts';
import { collect, type Collection } from './collection.ts';
import { Members, type PoolParts, type PoolStep } from './members.ts';
import { Moves } from './moves.ts';
import type { Named } from './named.ts';
import type { PoolObserver } from './observer.ts';
import { POLICIES, type Policy } from './policies.ts';
import { Queue } from './queue.ts';
import type { Server } from './server.ts';
import { ownTable } from './shared/own.ts';
import type { SharedTable } from './shared/shared-table.ts';
import { Sharing } from './shared/sharing.ts';
import { newStay, type StandingBinding, type Stay } from './stay.ts';
import { StickTable } from './stick-table.ts';
import { samePrefix, tableOptions, type TableOptions } from './table-options.ts';

const SWEEP_MS = 1_000;

/** How much of an address makes one client if no stick table says so. */
const ONE_HOST = { ipv4: 32, ipv6: 64 };

/** How long a server that has left is remembered if there is no stick table: the default of a table's `expire`. */
const REMEMBERED_MS = 30 * 60_000;

/**
 * A group of servers with one balancing policy and one stick table. What is known by name (bindings, the operator's
 * states, counters) outlives a `close`: a backend that is back in the configuration is planned and committed again.
 */
export class Backend {
  readonly name: string;
  readonly moves = new Moves();
  readonly #observer: PoolObserver;
  readonly #members: Members;
  readonly #queue = new Queue();
  readonly #sharing: Sharing;
  readonly #now: (() => number) | undefined;
  #config: BackendConfig | undefined;
  #policy: Policy = POLICIES.roundrobin();
  #table: StickTable<Server> | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Immediate | undefined;
  #closedMs: number | undefined;
  /** The client that had the majority of connections at the last sweep. */
  #crowd: string | undefined;

  /** A new backend does nothing before its first plan, and serves nobody before its first commit. */
  constructor(name: string, observer: PoolObserver, parts: PoolParts = {}) {
    this.name = name;
    this.#observer = observer;
    this.#now = parts.now;
    const own = ownTable(this, this.#queue, () => this.#keepMs);
    const servers = (): readonly Server[] => this.servers;
    this.#sharing = new Sharing({ backend: name, own, observer, servers, sessions: parts.sessions });
    this.#members = new Members(name, observer, this.#sharing.wakes(this.#queue), parts);
  }

  /** Throws before the first commit. */
  get config(): BackendConfig {
    if (!this.#config) throw new TypeError(`the backend ${this.name} is not in force yet`);
    return this.#config;
  }

  get servers(): readonly Server[] {
    return this.#members.servers;
  }

  /** Connections that wait for whichever server has a place first. */
  get waiting(): number {
    return this.#queue.newcomers;
  }

  /** The names in its configuration, and how their last look-ups went. */
  get names(): readonly Named[] {
    return this.#members.names;
  }

  get table(): StickTable<Server> | undefined {
    return this.#table;
  }

  /** What the table shares with other balancers. */
  get shared(): SharedTable | undefined {
    return this.#sharing.table;
  }

  /**
   * Makes and starts what `config` adds, beside what runs, so that `commit` leaves no moment without servers. At the
   * commit, servers of the same name keep health, state and connections, others come, those that are left over leave.
   * Bindings stay unless what a client is has changed.
   */
  plan(config: BackendConfig, patienceMs?: number): PoolStep {
    this.#forget();
    const members = this.#members.plan(config, patienceMs);
    const sharing = this.#sharing.plan(config);
    return {
      ready: Promise.all([members.ready, sharing.ready]),
      servers: () => members.servers(),
      commit: () => {
        const before = this.#config;
        this.#config = config;
        if (config.balance !== before?.balance) this.#policy = POLICIES[config.balance]();
        const table = this.#tableFor(config, before);
        if (table !== this.#table) this.shared?.forget();
        this.#table = table;
        sharing.commit();
        members.commit();
        this.#closedMs = undefined;
        this.#sweep ??= setInterval(() => this.#look(), SWEEP_MS);
      },
      rollback: () => {
        members.rollback();
        sharing.rollback();
      },
    };
  }

  /** Writes what is left to write to a table that is shared, as far as there are answers. */
  async finish(): Promise<void> {
    await this.shared?.finish();
  }

  /** Resolves and checks nothing any more. Connections that stand or wait are served as before. */
  close(): void {
    clearInterval(this.#sweep);
    clearImmediate(this.#expiry);
    this.#sweep = undefined;
    this.#closedMs = performance.now();
    this.#members.close();
    this.#sharing.close();
  }

  /** Whether the backend was closed so long ago that nothing of it is worth keeping, and serves nobody any more. */
  get isForgotten(): boolean {
    if (this.#closedMs === undefined || performance.now() - this.#closedMs < this.#keepMs) return false;
    return this.servers.every(({ connections }) => connections === 0);
  }

  /** What the client at `address` is in the stick table, and for a policy that goes by clients. */
  clientKey(address: string | undefined): string | undefined {
    const { stickTable } = this.config;
    return address === undefined ? undefined : clientKey(address, stickTable === false ? ONE_HOST : stickTable.prefix);
  }

  /** A connection of the client at `address` begins; undefined where nothing identifies the client. */
  open(address: string | undefined): Stay {
    const table = this.#table;
    const pool = (): Pool => this.#pool(table);
    return newStay({ client: this.clientKey(address), table, shared: this.shared, queue: this.#queue, pool });
  }

  /**
   * Collects what a state file has kept for the table of `config`, under the keys that clients have there; undefined
   * where it has no table. Committed after the backend, it counts the bindings that stand then.
   */
  collect(config: BackendConfig): Collection | undefined {
    const options = tableOptions(config);
    if (!options) return undefined;
    return collect(this.#standing(options), options.prefix, (kept) => {
      this.#table?.adopt(kept, new Map(this.servers.map((server) => [server.name, server])));
      this.#expire();
    });
  }

  /** The binding of a client; undefined where it has none. */
  binding(client: string): StandingBinding | undefined {
    const binding = this.#table?.peek(client);
    if (!binding) return undefined;
    const { server: bound, ...rest } = binding;
    const next = keptServer(this.#pool(this.#table), client, bound, new Set());
    return { bound, ...rest, next, by: this.shared?.boundBy(client) };
  }

  /** The server that a connection of the client would get now. @see foresee */
  foresee(client: string | undefined): Server | undefined {
    const bound = client === undefined ? undefined : this.#table?.peek(client)?.server;
    return foresee(this.#pool(this.#table), client, bound);
  }

  /** How many connections of the client wait for a place. */
  waitingOf(client: string): number {
    return this.#queue.waitingOf(client);
  }

  /**
   * Takes a client's binding away: its open connections stay where they are. Its next connection is balanced afresh, as
   * are those that wait. Returns whether it was bound.
   */
  unbind(client: string): boolean {
    if (this.#table?.unbind(client) !== true) return false;
    this.shared?.unbind(client);
    this.#queue.unbound(client);
    return true;
  }

  /** How long a server or backend that has left is remembered. */
  get #keepMs(): number {
    const stickTable = this.#config?.stickTable ?? false;
    return stickTable === false ? REMEMBERED_MS : stickTable.expire;
  }

  #pool(table: StickTable<Server> | undefined): Pool {
    const { stickTable } = this.config;
    const failback = stickTable !== false && stickTable.failback === 'return';
    return { servers: this.servers, policy: this.#policy, table, failback, moves: this.moves };
  }

  /** The table for `config`, the last one as far as it stands. */
  #tableFor(config: BackendConfig, before: BackendConfig | undefined): StickTable<Server> | undefined {
    const options = tableOptions(config);
    if (!options) return undefined;
    const table = this.#standing(options, before);
    const former = before && tableOptions(before);
    if (!table || !former) return new StickTable(this.#now ? { ...options, now: this.#now } : options);
    const { size, expireMs, homes } = options;
    if (size !== former.size || expireMs !== former.expireMs || homes !== former.homes) {
      table.change(options);
      this.#expire();
    }
    return table;
  }

  /** The table of the configuration before, unless what a client is differs in `options`. */
  #standing(options: TableOptions, before = this.#config): StickTable<Server> | undefined {
    const former = before && tableOptions(before);
    return former && samePrefix(options, former) ? this.#table : undefined;
  }

  #look(): void {
    this.#forget();
    this.shared?.look();
    const crowd = this.#table?.crowd.now;
    if (crowd && crowd.client !== this.#crowd) this.#observer.clientCrowds(this.name, crowd);
    this.#crowd = crowd?.client;
  }

  /** Drops bindings and servers away whose time has run out. */
  #forget(): void {
    const table = this.#table;
    this.#expire();
    this.#members.forget(this.#keepMs, (server) => (table?.entriesOf(server) ?? 0) > 0);
  }

  /** Many bindings may run out at one moment, or have no room after a reload: they go in slices. */
  #expire(): void {
    clearImmediate(this.#expiry);
    if (this.#table?.expire() === true) this.#expiry = setImmediate(() => this.#expire());
  }
}
