import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { bindKey, bindsCollide, parseBind, type Bind } from '../config/values.ts';
import { StartError } from '../errors.ts';
import type { Step } from '../step.ts';
import { bindFault, listen, listeningAddress, type BindError } from './bind.ts';
import { InheritedSockets } from './inherited.ts';

/**
 * To close a listener resets the connections in its backlog. If clients keep coming, a listener that is left stays open
 * for this long.
 */
const LEAVING_MS = 1_000;

export type Owner = { readonly kind: 'frontend' | 'metrics' | 'admin'; readonly name: string };

/** Gets each accepted connection, paused; `unix` says that the connection has no address. */
export type Take = (socket: Socket, unix: boolean) => void;

/** A bind, and who is served there. */
export type Site = {
  readonly owner: Owner;
  readonly bind: Bind;
  readonly take: Take;
  /** Nobody asked for the site: where it cannot be had, the plan goes on without. */
  readonly optional?: boolean;
};

export type ListenersStep = Step & {
  /** What a commit begins to listen on, for this owner. */
  readonly opened: readonly { readonly owner: Owner; readonly address: string }[];
  /** Why an optional site could not be had. */
  readonly missing: readonly StartError[];
};

/** Places for connections that are parked; all listeners together may fill the places that traffic leaves. */
export type Parking = {
  /** Takes a place; false if no place is left. */
  enter(): boolean;
  leave(): void;
};

/** A listener, and whom the listener serves from the commit on. */
type Served = { readonly listener: Listener; readonly site: Site };

/** What the kernel would say of a second socket on one bind. */
const TAKEN: BindError = Object.assign(new Error('address in use'), { code: 'EADDRINUSE' });

/** Every listening socket of the process: of traffic, of the metrics and of the admin address, by its bind. */
export class Listeners {
  readonly inherited = new InheritedSockets();
  #open = new Map<string, Listener>();
  readonly #leaving = new Map<Listener, Promise<void>>();

  /** Where an owner is reached. */
  addressesOf(owner: Owner): string[] {
    const own = [...this.#open.values()].filter((listener) => sameOwner(listener.owner, owner));
    return own.map(({ server }) => listeningAddress(server));
  }

  /** Whether a connection may still come to this owner: a listener that is being left takes its backlog first. */
  serves(owner: Owner): boolean {
    return [...this.#open.values(), ...this.#leaving.keys()].some((listener) => sameOwner(listener.owner, owner));
  }

  /**
   * Opens what `sites` adds to what is open. What is added accepts, and is parked until the commit, as many connections
   * as `parking` has places for; a rollback closes them. The commit gives each site to its owner, and leaves what
   * `sites` does not name. Rejects with a StartError, and then has opened nothing.
   */
  async plan(sites: readonly Site[], parking: Parking): Promise<ListenersStep> {
    // A bind that is being left and is wanted again is opened anew: its path or port is free only then.
    await Promise.all(this.#leaving.values());
    const [wanted, added, missing] = [new Map<string, Served>(), [] as Listener[], [] as StartError[]];
    const rollback = (): void => added.forEach((listener) => listener.discard());
    const frontends = sites.flatMap(({ owner: { kind, name } }) => (kind === 'frontend' ? [name] : []));
    for (const site of sites) {
      const key = keyOf(site);
      try {
        if (wanted.has(key)) throw bindFault(TAKEN, site.bind, site.owner.kind, site.bind);
        const listener = this.#open.get(key) ?? (await this.#listen(site, parking, frontends, added));
        wanted.set(key, { listener, site });
      } catch (error) {
        if (error instanceof StartError && site.optional === true) missing.push(error);
        else {
          rollback();
          throw error;
        }
      }
    }
    const opened = [...wanted.values()]
      .filter(({ listener, site }) => added.includes(listener) || !sameOwner(listener.owner, site.owner))
      .map(({ listener, site: { owner } }) => ({ owner, address: listeningAddress(listener.server) }));
    return { opened, missing, commit: () => this.#commit(wanted), rollback };
  }

  /** Takes what the kernel has accepted already, then listens no more for owners of this kind. */
  async stop(kind: Owner['kind']): Promise<void> {
    for (const [key, listener] of this.#open) {
      if (listener.owner.kind !== kind) continue;
      this.#open.delete(key);
      this.#leave(listener);
    }
    await Promise.all(this.#leaving.values());
  }

  /** Listens no more, at once. */
  close(): void {
    for (const { server } of [...this.#open.values(), ...this.#leaving.keys()]) server.close();
    this.#open.clear();
  }

  #commit(wanted: ReadonlyMap<string, Served>): void {
    const before = this.#open;
    this.#open = new Map([...wanted].map(([key, { listener }]) => [key, listener]));
    for (const [key, listener] of before) if (!wanted.has(key)) this.#leave(listener);
    // Last, and all in one turn: connections that were parked are served by what is in force now.
    for (const { listener, site } of wanted.values()) listener.serve(site);
  }

  #leave(listener: Listener): void {
    const left = listener.leave().finally(() => this.#leaving.delete(listener));
    this.#leaving.set(listener, left);
  }

  async #listen(site: Site, parking: Parking, frontends: readonly string[], added: Listener[]): Promise<Listener> {
    const { owner, bind } = site;
    const listener = new Listener(site, parking);
    const inheritedFd = owner.kind === 'frontend' ? this.inherited.take(owner.name, frontends) : undefined;
    try {
      await listen(listener.server, bind, inheritedFd);
    } catch (error) {
      const text = owner.kind === 'frontend' ? `frontend ${owner.name}` : owner.kind;
      throw bindFault(error as BindError, bind, text, this.#inTheWay(error as BindError, bind, added));
    }
    added.push(listener);
    return listener;
  }

  /** The bind of this process in the way of `wanted`: the error must not speak of another process. */
  #inTheWay({ code, address }: BindError, wanted: Bind, added: readonly Listener[]): Bind | undefined {
    if (code !== 'EADDRINUSE') return undefined;
    // The error tells the address of a name.
    const resolved =
      wanted.kind === 'tcp' && wanted.host !== '*' ? { ...wanted, host: address ?? wanted.host } : wanted;
    const own = [...this.#open.values(), ...added].map((listener) => listener.own);
    return own.find((bind) => bind !== undefined && bindsCollide(bind, resolved));
  }
}

const sameOwner = (a: Owner, b: Owner): boolean => a.kind === b.kind && a.name === b.name;

/** The kernel chooses another port for each bind to port 0, so such binds differ by their owner. */
function keyOf({ owner, bind }: Site): string {
  const key = bindKey(bind);
  return bind.kind === 'tcp' && bind.port === 0 ? `${owner.kind} ${owner.name} ${key}` : key;
}

/** A listening socket. Until it serves its owner, connections that it accepts are parked. */
class Listener {
  readonly server: Server;
  readonly #bind: Bind;
  readonly #unix: boolean;
  readonly #parking: Parking;
  owner: Owner;
  #take: Take | undefined;
  #parked: Socket[] = [];
  #accepted = 0;

  constructor({ owner, bind }: Site, parking: Parking) {
    this.owner = owner;
    this.#bind = bind;
    this.#unix = bind.kind === 'unix';
    this.#parking = parking;
    this.server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
    // An accept may fail for want of memory; the next may not.
    this.server.on('error', () => {});
  }

  /** The bind with the port that was given and the address that the name has. */
  get own(): Bind | undefined {
    const address = listeningAddress(this.server);
    const star = this.#bind.kind === 'tcp' && this.#bind.host === '*';
    return parseBind(star ? address.replace(/^.*:/, '*:') : address);
  }

  serve({ owner, take }: Site): void {
    this.owner = owner;
    this.#take = take;
    for (const socket of this.#unpark()) take(socket, this.#unix);
  }

  /** Closes the listener, and every connection that is parked. */
  discard(): void {
    this.server.close();
    for (const socket of this.#unpark()) socket.destroy();
  }

  /**
   * Closes the listener when its backlog is empty: one connection is taken a turn of the loop, so turns pass without.
   */
  async leave(): Promise<void> {
    const deadlineMs = performance.now() + LEAVING_MS;
    let seen = -1;
    while (seen !== this.#accepted && performance.now() < deadlineMs) {
      seen = this.#accepted;
      for (let turn = 0; turn < 3; turn++) await nextTurn();
    }
    this.server.close();
  }

  #accept(socket: Socket): void {
    this.#accepted++;
    if (this.#take) return this.#take(socket, this.#unix);
    // The owner that gets the socket notices whether its client has left meanwhile.
    socket.on('error', () => {});
    if (this.#parking.enter()) this.#parked.push(socket);
    else socket.destroy();
  }

  /** Each socket leaves its place when its turn comes, so that its connection can have the place. */
  *#unpark(): Generator<Socket> {
    for (const socket of this.#parked.splice(0)) {
      this.#parking.leave();
      yield socket;
    }
  }
}
