import { choose, prospects, type Choice, type Pool } from './choose.ts';
import { Line } from './line.ts';
import type { Server } from './server.ts';

/** How a wait ends unless the waiter leaves: with a place that is taken already, or without any server. */
export type Outcome = Exclude<Choice, { kind: 'full' }>;

/** A connection that needs a server. `pool` is asked anew at each look. */
export type Seeker = {
  readonly client: string | undefined;
  readonly tried: ReadonlySet<Server>;
  readonly pool: () => Pool;
};

type Waiter = Seeker & {
  /** Lower than that of whoever began to wait later. */
  readonly ticket: number;
  /** The server that it waits for; undefined where it takes the place that is free first. */
  server: Server | undefined;
  readonly settle: (outcome: Outcome | undefined) => void;
};

/**
 * Who waits for a place at the servers of one backend: a client that is bound waits in its server's line, any other in
 * the backend's. Whenever a place comes free, the longest waiter who may have this place gets it, from whichever line.
 *
 * From one call to the next this holds: a server with a free place has no waiter who may have that place. So whoever
 * comes new and finds a place overtakes nobody.
 */
export class Queue {
  readonly #newcomers = new Line<Waiter>();
  readonly #lines = new Map<Server, Line<Waiter>>();
  /** Those that wait, by client: they go where the first of them is bound. */
  readonly #byClient = new Map<string, Set<Waiter>>();
  /** Clients that have moved to a server which some of their waiting connections have tried: these may find a place. */
  readonly #astray = new Set<string>();
  #tickets = 0;

  /** Those who wait for no server in particular. */
  get newcomers(): number {
    return this.#newcomers.size;
  }

  /** Chooses as `choose` does, and takes the place of the server that is chosen. */
  choose(seeker: Seeker): Choice {
    const { choice, moved } = this.#seat(seeker);
    if (moved) this.freed(moved);
    return choice;
  }

  /** What a connection that begins to wait now shows when it waits again, so as not to lose its age. */
  ticket(): number {
    return this.#tickets++;
  }

  /**
   * Waits after `choose` has said 'full', in the same tick. `outcome` is undefined after `leave`, which does nothing
   * where the wait has ended.
   */
  wait(
    seeker: Seeker,
    ticket: number,
    server: Server | undefined,
  ): { readonly outcome: Promise<Outcome | undefined>; leave(): void } {
    let settle!: Waiter['settle'];
    const outcome = new Promise<Outcome | undefined>((resolve) => (settle = resolve));
    const waiter: Waiter = { ...seeker, ticket, server, settle };
    this.#enter(waiter);
    const leave = (): void => {
      this.#leave(waiter);
      settle(undefined);
    };
    return { outcome, leave };
  }

  /** A place of the server may have come free. */
  freed(server: Server): void {
    // As at the end of nearly each connection.
    if (this.#newcomers.size === 0 && this.#byClient.size === 0) return;
    this.#fill(server);
    this.#settle();
  }

  #fill(server: Server): void {
    const freed = [server];
    for (let one = freed.pop(); one; one = freed.pop()) {
      while (one.hasRoom) {
        const waiter = this.#next(one);
        const seated = waiter && this.#attempt(waiter);
        if (!seated) break;
        // Others of this client may wait for that server from now on.
        if (seated !== one) freed.push(seated);
      }
    }
  }

  /** Anything may have changed: which servers there are, how they are, how many places they have. */
  changed(): void {
    this.#again([this.#newcomers, ...this.#lines.values()].flatMap((line) => [...line]));
    this.#settle();
  }

  /** The client is bound no longer: its connections that wait may go wherever newcomers go. */
  unbound(client: string): void {
    const waiters = this.#byClient.get(client);
    if (!waiters) return;
    this.#again([...waiters]);
    this.#settle();
  }

  /** How many connections of the client wait. */
  waitingOf(client: string): number {
    return this.#byClient.get(client)?.size ?? 0;
  }

  #again(waiters: readonly Waiter[]): void {
    const seated = new Set<Server>();
    for (const waiter of waiters.toSorted((a, b) => a.ticket - b.ticket)) {
      const server = this.#attempt(waiter);
      if (server) seated.add(server);
    }
    for (const server of seated) this.#fill(server);
  }

  /** Each pass gives at least one of them a place, or is the last. */
  #settle(): void {
    for (const client of this.#astray) {
      this.#astray.delete(client);
      this.#again([...(this.#byClient.get(client) ?? [])].filter(({ server }) => !server));
    }
  }

  /** Who gets a free place of the server: the longest waiter of its own line, or of those who may go to any. */
  #next(server: Server): Waiter | undefined {
    const own = this.#lines.get(server)?.first;
    let takesNew: boolean | undefined;
    for (const waiter of this.#newcomers) {
      if (own && own.ticket < waiter.ticket) break;
      const mayGo = (): boolean => prospects(waiter.pool(), waiter.client, waiter.tried).servers.includes(server);
      // Those who have tried no server yet may all go to the same ones.
      if (waiter.tried.size > 0 ? mayGo() : (takesNew ??= mayGo())) return waiter;
    }
    return own;
  }

  /** Gives a waiter a place if there is one, tells it if there is no server, else keeps it in the right line. */
  #attempt(waiter: Waiter): Server | undefined {
    this.#leave(waiter);
    const { choice } = this.#seat(waiter);
    if (choice.kind === 'full') {
      waiter.server = choice.server;
      this.#enter(waiter);
      return undefined;
    }
    waiter.settle(choice);
    return choice.kind === 'none' ? undefined : choice.server;
  }

  /**
   * Chooses, and takes the place. Others of the client that wait go where it is bound from now on; `moved` is that
   * server.
   */
  #seat({ pool, client, tried }: Seeker): { readonly choice: Choice; readonly moved: Server | undefined } {
    const others = client === undefined ? undefined : this.#byClient.get(client);
    const before = others && client !== undefined ? pool().table?.match(client) : undefined;
    const choice = choose(pool(), client, tried);
    if (choice.kind === 'full' || choice.kind === 'none') return { choice, moved: undefined };
    choice.server.slots.take();
    if (!others || before === choice.server) return { choice, moved: undefined };
    for (const other of Array.from(others)) {
      const { kind, servers } = prospects(other.pool(), other.client, other.tried);
      this.#leave(other);
      other.server = kind === 'stuck' ? servers[0] : undefined;
      this.#enter(other);
      if (!other.server && client !== undefined) this.#astray.add(client);
    }
    return { choice, moved: choice.server };
  }

  #enter(waiter: Waiter): void {
    const { server, client } = waiter;
    if (client !== undefined) this.#byClient.set(client, (this.#byClient.get(client) ?? new Set()).add(waiter));
    if (!server) {
      this.#newcomers.add(waiter);
      return;
    }
    const line = this.#lines.get(server) ?? new Line<Waiter>();
    this.#lines.set(server, line);
    line.add(waiter);
    server.slots.waiting = line.size;
  }

  #leave(waiter: Waiter): void {
    const { server, client } = waiter;
    const others = client === undefined ? undefined : this.#byClient.get(client);
    others?.delete(waiter);
    if (client !== undefined && others?.size === 0) this.#byClient.delete(client);
    const line = server ? this.#lines.get(server) : this.#newcomers;
    line?.delete(waiter);
    if (!server || !line) return;
    server.slots.waiting = line.size;
    if (line.size === 0) this.#lines.delete(server);
  }
}
