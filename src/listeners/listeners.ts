import { bindKey, bindsCollide, type Bind } from '../config/values.ts';
import { StartError } from '../errors.ts';
import { lookUp, type NameFault } from '../names/look-up.ts';
import type { Step } from '../step.ts';
import { FaultyBind, type BindError } from './bind-error.ts';
import { bindFault } from './bind.ts';
import { InheritedSockets } from './inherited.ts';
import { leave, Listener } from './listener.ts';
import { rehearse } from './rehearse.ts';
import { ownerText, sameOwner, type Owner, type Parking, type Site } from './site.ts';

export type ListenersStep = Step & {
  /** What a commit begins to listen on, for this owner. */
  readonly opened: readonly { readonly owner: Owner; readonly address: string }[];
  /** What a commit leaves. */
  readonly closed: readonly { readonly owner: Owner; readonly address: string }[];
  /** Why an optional site could not be had. */
  readonly missing: readonly StartError[];
};

/** Hears of a listener that the commit could not open: why, and at last that it is open. */
export type ListenObserver = {
  listenFailed(error: StartError): void;
  listensAtLast(owner: Owner, address: string): void;
};

/** A listener, and whom the listener serves from the commit on. */
type Served = {
  readonly listener: Listener;
  readonly site: Site;
  /** Own listeners in the way, which this plan leaves: the listener opens when they have closed. */
  readonly after: readonly Listener[];
};

/** A plan under way. */
type Draft = {
  readonly parking: Parking;
  readonly stops: AbortSignal | undefined;
  /** Files of sockets stay as they are. */
  readonly rehearsal: boolean;
  readonly frontends: readonly string[];
  /** Binds that somebody has asked for. An open listener of another bind may be left. */
  readonly kept: ReadonlySet<string>;
  readonly wanted: Map<string, Served>;
  readonly undo: (() => void)[];
};

/** What the kernel would say of a second socket on one bind. */
const TAKEN = new FaultyBind('EADDRINUSE', 'address in use');

/** Every listening socket of the process: of traffic, of the metrics and of the admin address, by its bind. */
export class Listeners {
  readonly inherited = new InheritedSockets();
  readonly #observer: ListenObserver;
  #open = new Map<string, Listener>();
  readonly #leaving = new Map<Listener, Promise<void>>();

  constructor(observer: ListenObserver) {
    this.#observer = observer;
  }

  /** Where an owner is reached. */
  addressesOf(owner: Owner): string[] {
    const own = [...this.#open.values()].filter((listener) => sameOwner(listener.owner, owner));
    return own.map(({ address }) => address);
  }

  /** Whether a connection may still come to this owner: a listener that is being left takes its backlog first. */
  serves(owner: Owner): boolean {
    return [...this.#open.values(), ...this.#leaving.keys()].some((listener) => sameOwner(listener.owner, owner));
  }

  /**
   * Opens what `sites` adds to what is open. What is added accepts, and is parked until the commit, as many connections
   * as `parking` has places for; a rollback closes them. The commit gives each site to its owner, and leaves what
   * `sites` does not name. A bind that only a listener which is left stands in the way of (`*:443` to `10.0.0.1:443`)
   * opens after the commit, in the turn in which that listener closes. Rejects with a StartError, at once where `stops`
   * is aborted while a name is looked up, and then has opened nothing.
   */
  async plan(sites: readonly Site[], parking: Parking, stops?: AbortSignal, rehearsal = false): Promise<ListenersStep> {
    // A bind that is being left and is wanted again is opened anew: its path or port is free only then.
    await Promise.all(this.#leaving.values());
    const draft: Draft = {
      parking,
      stops,
      rehearsal,
      frontends: sites.flatMap(({ owner: { kind, name } }) => (kind === 'frontend' ? [name] : [])),
      kept: new Set(sites.filter(({ optional }) => optional !== true).map(keyOf)),
      wanted: new Map(),
      undo: [],
    };
    const missing: StartError[] = [];
    const rollback = (): void => draft.undo.toReversed().forEach((undo) => undo());
    for (const site of sites) {
      try {
        await this.#want(site, draft);
      } catch (error) {
        if (error instanceof StartError && site.optional === true) missing.push(error);
        else {
          rollback();
          throw error;
        }
      }
    }
    const before = new Set(this.#open.values());
    const opened = [...draft.wanted.values()]
      .filter(({ listener, site }) => !before.has(listener) || !sameOwner(listener.owner, site.owner))
      .map(({ listener, site: { owner } }) => ({ owner, address: listener.address }));
    const kept = new Set([...draft.wanted.values()].map(({ listener }) => listener));
    const closed = [...before]
      .filter((listener) => !kept.has(listener))
      .map(({ owner, address }) => ({ owner, address }));
    return { opened, closed, missing, commit: () => this.#commit(draft.wanted), rollback };
  }

  /** Takes what the kernel has accepted already, then listens no more for owners of this kind. */
  async stop(kind: Owner['kind']): Promise<void> {
    for (const [key, listener] of this.#open) {
      if (listener.owner.kind !== kind) continue;
      this.#open.delete(key);
      this.#leave([listener]);
    }
    await Promise.all(this.#leaving.values());
  }

  /** Listens no more, at once. */
  close(): void {
    for (const listener of [...this.#open.values(), ...this.#leaving.keys()]) listener.close();
    this.#open.clear();
  }

  #commit(wanted: ReadonlyMap<string, Served>): void {
    const left = [...this.#open.values()];
    this.#open = new Map([...wanted].map(([key, { listener }]) => [key, listener]));
    const late = [...wanted.values()].filter(({ after }) => after.length > 0);
    const together = new Set(late.flatMap(({ after }) => after));
    const kept = new Set(this.#open.values());
    for (const listener of left) if (!kept.has(listener) && !together.has(listener)) this.#leave([listener]);
    // In the turn in which those in the way close: until then they take who comes, so that the port is never without.
    if (late.length > 0) this.#leave([...together], () => Promise.all(late.map((served) => this.#openLate(served))));
    // Last, and all in one turn: connections that were parked are served by what is in force now.
    for (const { listener, site } of wanted.values()) listener.serve(site);
  }

  /** A plan that comes meanwhile waits until the listeners are closed, and `then` has been tried. */
  #leave(listeners: readonly Listener[], then?: () => Promise<unknown>): void {
    const left = leave(listeners)
      .then(then)
      .then(() => listeners.forEach((listener) => this.#leaving.delete(listener)));
    for (const listener of listeners) this.#leaving.set(listener, left);
  }

  #openLate({ listener, site }: Served): Promise<void> {
    return listener.openAtLast((error) => {
      if (error) this.#observer.listenFailed(bindFault(error, site.bind, ownerText(site.owner), undefined));
      else this.#observer.listensAtLast(listener.owner, listener.address);
    });
  }

  /** Finds a listener for `site`: one that is open, a new one, or one that opens later. */
  async #want(site: Site, draft: Draft): Promise<void> {
    const key = keyOf(site);
    const { bind, owner } = site;
    const fault = (error: BindError, own?: Listener): StartError =>
      bindFault(error, bind, ownerText(owner), own && inTheWay(own));
    const promised = [...draft.wanted.values()].find(({ after, site: other }) => {
      return after.length > 0 && bindsCollide(other.bind, bind);
    });
    const taken = draft.wanted.get(key) ?? promised;
    if (taken) throw fault(TAKEN, taken.listener);
    const open = this.#open.get(key);
    try {
      if (open && !draft.rehearsal) draft.undo.push(open.permit(bind));
    } catch (error) {
      throw fault(error as BindError);
    }
    if (open) return void draft.wanted.set(key, { listener: open, site, after: [] });
    const inheritedFd = owner.kind === 'frontend' ? this.inherited.take(owner.name, draft.frontends) : undefined;
    const here =
      inheritedFd === undefined
        ? await literal(bind, draft.stops).catch((error: NameFault) => {
            throw fault(error);
          })
        : bind;
    const listener = new Listener({ ...site, bind: here }, draft.parking);
    try {
      if (draft.rehearsal && here.kind === 'unix') await rehearse(here, 0);
      else await listener.open(inheritedFd);
      draft.undo.push(() => listener.close());
      draft.wanted.set(key, { listener, site, after: [] });
    } catch (error) {
      const after = this.#obstacles(error as BindError, here, draft);
      const fixed = after.find((one) => one.inherited || !this.#isLeft(one, draft));
      if (fixed || after.length === 0) throw fault(error as BindError, fixed);
      await rehearse(here, after.length).catch((later: BindError) => {
        throw fault(later);
      });
      draft.wanted.set(key, { listener: new Listener({ ...site, bind: here }, draft.parking), site, after });
    }
  }

  /** Whether `draft` leaves an open listener: nobody has asked for its bind. */
  #isLeft(listener: Listener, { kept }: Draft): boolean {
    return [...this.#open].some(([key, open]) => open === listener && !kept.has(key));
  }

  /** Own listeners in the way of `wanted`. */
  #obstacles({ code }: BindError, wanted: Bind, draft: Draft): readonly Listener[] {
    if (code !== 'EADDRINUSE') return [];
    const own = new Set([...this.#open.values(), ...[...draft.wanted.values()].map(({ listener }) => listener)]);
    return [...own].filter(({ own: bind }) => bind !== undefined && bindsCollide(bind, wanted));
  }
}

/** A name is its first address. Node would ask the system for the name, and nothing could end that. */
async function literal(bind: Bind, stops: AbortSignal | undefined): Promise<Bind> {
  if (bind.kind === 'unix' || bind.host === '*') return bind;
  const { addresses } = await lookUp(bind.host, stops);
  return { ...bind, host: addresses[0] ?? bind.host };
}

/** Why an own listener stands in the way of a bind: the error must not speak of another process. */
function inTheWay({ inherited, address }: Listener): string {
  return inherited
    ? `systemd keeps ${address} open for this balancer. Change the socket unit, and restart both`
    : `this balancer itself listens on ${address}. Bind another address`;
}

/**
 * The kernel chooses another port for each bind to port 0, so such binds differ by their owner. A socket that shares
 * its port is another than one that does not.
 */
function keyOf({ owner, bind }: Site): string {
  const key = bind.kind === 'tcp' && bind.reusePort === true ? `${bindKey(bind)} shared` : bindKey(bind);
  return bind.kind === 'tcp' && bind.port === 0 ? `${owner.kind} ${owner.name} ${key}` : key;
}
