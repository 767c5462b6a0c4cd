/** A balancer as far as the protocol of the shared table goes: its own table, choice, queue and servers. */
import type { SharedTableEvents } from '../../src/pool/shared/parts.ts';
import { Moves } from '../../src/pool/moves.ts';
import { POLICIES } from '../../src/pool/policies.ts';
import { Queue } from '../../src/pool/queue.ts';
import { hear, saidNow, type Said, type Topic } from '../../src/pool/said.ts';
import { agreement } from '../../src/pool/shared/agreement.ts';
import { ownTable } from '../../src/pool/shared/own.ts';
import { SharedTable } from '../../src/pool/shared/shared-table.ts';
import { newStay, type Stay } from '../../src/pool/stay.ts';
import { StickTable } from '../../src/pool/stick-table.ts';
import type { Server } from '../../src/pool/server.ts';
import { testServer } from './pool.ts';
import { SharedRedis, SimulatedClock } from './shared-redis.ts';

/** A connection that has its server, or that no server was to be had for. */
export type Served = {
  readonly client: string;
  readonly server: string | undefined;
  readonly waitedMs: number;
  readonly close: () => void;
};

/** How long a balancer waits for Redis. */
export const TIMEOUT_MS = 80;

export class SimulatedBalancer {
  readonly name: string;
  readonly table: StickTable<Server>;
  readonly moves = new Moves();
  readonly queue = new Queue();
  readonly servers: readonly Server[];
  readonly shared: SharedTable;
  /** What its link became: `up`, or the reason for its being down. */
  readonly told: string[] = [];
  readonly answersMs: number[] = [];
  /** Why it could not share states. */
  readonly failures: string[] = [];
  /** How far its wall clock is from that of the others. */
  skewMs = 0;
  readonly #policy = POLICIES.roundrobin();
  readonly #clock: SimulatedClock;
  #looking: () => void = () => {};

  private constructor(
    name: string,
    servers: readonly Server[],
    redis: SharedRedis,
    clock: SimulatedClock,
    expireMs: number,
    sharesStates: boolean,
  ) {
    this.name = name;
    this.servers = servers;
    this.#clock = clock;
    this.table = new StickTable<Server>({ size: 1_000, expireMs, homes: true, now: () => clock.now() });
    const events: SharedTableEvents = {
      changed: ({ up, reason }) => void this.told.push(up ? 'up' : reason),
      answered: (ms) => void this.answersMs.push(ms),
      statesFailed: (reason) => void this.failures.push(reason),
    };
    const own = ownTable(this, this.queue, () => expireMs);
    const parts = { name, instance: name, open: redis.sessions(name), own, events, clock, timeoutMs: TIMEOUT_MS };
    this.shared = new SharedTable({ ...parts, servers: sharesStates ? () => this.servers : undefined });
  }

  /** With servers of these names, all up, in an order of its own. */
  static async start(
    name: string,
    servers: readonly string[],
    redis: SharedRedis,
    clock: SimulatedClock,
    expireMs = 60_000,
    sharesStates = true,
  ): Promise<SimulatedBalancer> {
    const all = servers.map((server) => testServer(server, { healthCheck: false }));
    await Promise.all(all.map((server) => server.start()));
    const balancer = new SimulatedBalancer(name, all, redis, clock, expireMs, sharesStates);
    balancer.shared.enter();
    balancer.#look();
    return balancer;
  }

  server(name: string): Server {
    return this.servers.find((one) => one.name === name)!;
  }

  set(name: string, up: boolean): void {
    const server = this.server(name);
    if (server.health.up !== up) server.health = { ...server.health, up, reason: up ? '' : 'it is dead' };
  }

  /** The operator, or a file, says something of a server. */
  say(name: string, topic: Topic, said: Said): void {
    hear(this.server(name), topic, said);
    this.shared.states?.settle();
  }

  /** The operator says so now; returns what others are to hear. */
  order(name: string, topic: Topic, word: string, who = 'unix'): Said {
    const said = saidNow(word, who, this.server(name).said[topic], Math.floor(this.#clock.now()) + this.skewMs);
    this.say(name, topic, said);
    return said;
  }

  /** As a search for a server does, but for the dial. */
  async connect(client: string): Promise<Served> {
    const { table, shared, queue } = this;
    const pool = () => ({ servers: this.servers, policy: this.#policy, table, failback: false, moves: this.moves });
    const stay: Stay = newStay({ client, table, shared, queue, pool });
    let waitedMs = 0;
    for (;;) {
      const choice = stay.choose(new Set());
      if (choice.kind === 'none' || choice.kind === 'full') {
        stay.close();
        return { client, server: undefined, waitedMs, close() {} };
      }
      const first = stay.agree(choice.server);
      if (first) {
        const waited = await agreement(stay, choice.server, first, stay.agreeMs - waitedMs, this.#clock);
        waitedMs += waited.tookMs;
        if (!waited.agreed) {
          choice.server.releaseSlot();
          continue;
        }
      }
      const close = (): void => {
        choice.server.releaseSlot();
        stay.close();
      };
      return { client, server: choice.server.name, waitedMs, close };
    }
  }

  /** Ends it as a process ends. */
  stop(): void {
    this.#looking();
    this.shared.close();
    for (const server of this.servers) server.close();
  }

  #look(): void {
    this.shared.look();
    this.#looking = this.#clock.after(1_000, () => this.#look());
  }
}

export const SERVERS = ['s1', 's2', 's3'];

/** Balancers and their Redis. */
export class Stage {
  readonly clock = new SimulatedClock();
  readonly redis = new SharedRedis(this.clock);
  balancers: SimulatedBalancer[] = [];

  /** Balancers that are called a, b, … and reach Redis. */
  static async open(
    servers: readonly (readonly string[])[] = [SERVERS, SERVERS.toReversed()],
    expireMs?: number,
  ): Promise<Stage> {
    const stage = new Stage();
    for (const [i, own] of servers.entries()) {
      const name = String.fromCharCode(97 + i);
      stage.balancers.push(await SimulatedBalancer.start(name, own, stage.redis, stage.clock, expireMs));
    }
    await stage.clock.advance(10);
    return stage;
  }

  get a(): SimulatedBalancer {
    return this.balancers[0]!;
  }

  get b(): SimulatedBalancer {
    return this.balancers[1]!;
  }

  /** Lets time pass until all of these have their server. */
  async all(served: readonly Promise<Served>[], ms = 200): Promise<Served[]> {
    await this.clock.advance(ms);
    return Promise.all(served);
  }

  async one(balancer: SimulatedBalancer, client = 'c'): Promise<Served> {
    const [served] = await this.all([balancer.connect(client)]);
    return served!;
  }

  stop(): void {
    for (const balancer of this.balancers) balancer.stop();
  }
}
