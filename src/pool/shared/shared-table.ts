import { SharedCounts, type Why } from './counts.ts';
import { Link, type LinkState } from './link.ts';
import { Lives } from './lives.ts';
import type { Asked, OwnTable, SharedTableParts } from './parts.ts';
import { Roster } from './prune.ts';
import type { Bid } from './session.ts';
import { Shadows } from './shadows.ts';
import { SharedStates } from './states.ts';
import { parse, parseTold, SERVERS, spell } from './words.ts';

/** What is left to a connection for asking again after an answer that came late. */
const REPEAT_MS = 10;
/** Bids that are made at one moment: less than a millisecond of work for Redis. */
const BATCH = 100;

/**
 * The stick table of one backend as several balancers share it. A balancer binds a client in its own table first, and
 * then bids for that: the first bid for a client wins, and every other balancer follows, whether it hears of it in the
 * answer to its own bid or, of a move, as news. A bid to move a client names what the bidder believes to be so, and is
 * in vain where that is not so any more: so nobody undoes what he has not seen.
 *
 * What is agreed is remembered (a shadow for each client): a client whose own binding is the agreed one costs nothing.
 */
export class SharedTable {
  readonly counts = new SharedCounts();
  /** What operators say of servers; undefined where that is not shared. */
  readonly states: SharedStates | undefined;
  readonly #parts: SharedTableParts;
  readonly #own: OwnTable;
  readonly #link: Link;
  readonly #lives: Lives;
  readonly #shadows: Shadows;
  readonly #asked = new Map<string, Asked>();
  /** Clients that were bound or moved without an agreement. */
  readonly #pending: Roster;
  /** Clients whose bindings were taken away without an agreement, and what was agreed before. */
  readonly #unbound = new Map<string, string>();
  #reconciling: Promise<void> | undefined;
  #inForce = false;

  constructor(parts: SharedTableParts) {
    const { own, events, clock, servers } = parts;
    [this.#parts, this.#own] = [parts, own];
    const changed = (state: LinkState, before: LinkState | undefined): void => {
      if (state.up) void this.states?.sync();
      events.changed(state, before);
      if (this.#inForce && state.up) void this.#reconcile();
    };
    const told = (message: string): void => this.#told(message);
    const opened = (): void => void this.states?.sync();
    this.#link = new Link(parts, { opened, changed, told, answered: (ms) => events.answered(ms) });
    this.states = servers && new SharedStates({ ...parts, servers, link: this.#link, counts: this.counts });
    this.#lives = new Lives({
      clock,
      expireMs: () => own.expireMs,
      isOpen: (client) => own.bound(client)?.open,
      isUp: () => this.#link.up,
      prolong: (clients) => this.#bid(clients, 'prolonged'),
      batch: BATCH,
    });
    const isBound = (client: string): boolean => own.bound(client) !== undefined;
    this.#pending = new Roster(isBound);
    this.#shadows = new Shadows(isBound);
  }

  get name(): string {
    return this.#parts.name;
  }

  /** No connection waits longer for other balancers, however often it must ask. */
  get mostMs(): number {
    return this.#parts.timeoutMs + REPEAT_MS;
  }

  /** Undefined before the first attempt has come to an end. */
  get state(): LinkState | undefined {
    return this.#link.state;
  }

  /** How long the last answer took; undefined before the first. */
  get answerMs(): number | undefined {
    return this.#link.answerMs;
  }

  /** Bindings that were made or taken away without an agreement, and what others cannot hear yet of servers. */
  get pending(): number {
    return this.#pending.size + this.#unbound.size + (this.states?.pending ?? 0);
  }

  /** Who has bound a client, as far as it is known. */
  boundBy(client: string): string | undefined {
    return parse(this.#shadows.get(client)?.value ?? '')?.by;
  }

  /** Opens the link, and sees to it. To be called about once a second. */
  look(): void {
    this.#link.look();
    this.states?.look();
  }

  /** It is in force from now on: what others told before touched nobody. */
  enter(): void {
    this.#inForce = true;
    this.states?.enter();
  }

  /** Another own table stands here from now on: nothing is known of its clients. */
  forget(): void {
    this.#link.epoch++;
    for (const clients of [this.#shadows, this.#pending, this.#unbound]) clients.clear();
    this.#lives.forget();
  }

  /** A connection of a client begins; `isBound` says whether the client has a binding here. */
  opened(client: string, isBound: boolean): void {
    // Its binding here has run out, and another balancer's may stand: what was agreed is no reason to change that.
    if (!isBound && !this.#asked.has(client)) this.#shadows.delete(client);
  }

  /** A connection of the client has ended. */
  closed(client: string): void {
    this.#lives.use(client);
  }

  /**
   * Undefined where nothing is to be waited for: all agree that the client is bound to `server`, or the link is down.
   * Else it resolves, soon, when the client's own binding may be another; then this is to be called again.
   */
  agree(client: string, server: string): Promise<void> | undefined {
    this.#lives.use(client);
    if (this.isAgreed(client, server)) return undefined;
    const asked = this.#asked.get(client);
    if (asked) return asked.done;
    // It began under another own table.
    if (!this.#own.bound(client)) return undefined;
    if (this.#link.up) return this.#bid([client], 'asked');
    this.#pending.add(client);
    return undefined;
  }

  /** Whether all balancers have the client at `server`, as far as it is known. */
  isAgreed(client: string, server: string): boolean {
    const shadow = this.#shadows.get(client);
    return shadow !== undefined && shadow.server === server && shadow.epoch === this.#link.epoch;
  }

  /** The operator has taken the client's binding away. */
  unbind(client: string): void {
    this.#unbound.set(client, this.#shadows.get(client)?.value ?? '');
    this.#pending.delete(client);
    this.#shadows.delete(client);
    void this.#reconcile();
  }

  /** Takes away the binding that another balancer has made of a client who has none here; returns whether it had. */
  async unbindElsewhere(client: string): Promise<boolean> {
    // No binding reads like that: it is asked for, and not changed.
    const [value = ''] = (await this.#link.agree([{ client, from: ' ', to: '' }], this.#own.expireMs)) ?? [];
    if (value === '') return false;
    this.#unbound.set(client, value);
    return this.#reconcile().then(() => true);
  }

  /** Writes what is left to write, as far as there are answers. */
  finish = (): Promise<void> => this.#reconcile();

  close(): void {
    this.#lives.close();
    this.#link.close();
  }

  /** Writes what was bound, moved and taken away without an agreement. */
  #reconcile(): Promise<void> {
    this.#reconciling ??= this.#write().finally(() => (this.#reconciling = undefined));
    return this.#reconciling;
  }

  async #write(): Promise<void> {
    do {
      while (this.#link.up && this.#unbound.size > 0) {
        // Whoever was bound afresh meanwhile bids after this.
        const bids = [...this.#unbound].slice(0, BATCH).map(([client, from]) => ({ client, from, to: '' }));
        const held = await this.#link.agree(bids, this.#own.expireMs);
        if (held) for (const { client } of bids) this.#unbound.delete(client);
      }
      while (this.#link.up && this.#pending.size > 0) await this.#bid(this.#pending.take(BATCH), 'reconciled');
      // A Redis that has lost its keys has those of all who are here again.
      await this.#lives.all();
    } while (this.#link.up && this.#pending.size + this.#unbound.size > 0);
  }

  /** Bids for the own bindings of `clients`, and takes in what comes of it. */
  #bid(clients: readonly string[], why: Why): Promise<void> {
    const bids = clients.flatMap((client) => (this.#asked.has(client) ? [] : this.#bidFor(client)));
    if (bids.length === 0) return Promise.resolve();
    const { epoch } = this.#link;
    const ask = async (): Promise<void> => {
      const held = await this.#link.agree(bids, this.#own.expireMs);
      for (const [i, bid] of bids.entries()) {
        const heard = this.#asked.get(bid.client)?.heard;
        this.#asked.delete(bid.client);
        const value = held?.[i];
        if (value === undefined) this.#pending.add(bid.client);
        // Where another balancer has told something else meanwhile, it is not known which is the latest.
        else this.#answered(bid, value, heard === undefined || heard === value ? epoch : -1, why);
      }
    };
    const done = ask();
    for (const { client } of bids) this.#asked.set(client, { done, heard: undefined });
    return done;
  }

  #bidFor(client: string): Bid[] {
    const own = this.#own.bound(client);
    if (!own) return [];
    const { server, home } = own;
    const shadow = this.#shadows.get(client);
    const from = this.#unbound.get(client) ?? shadow?.value ?? '';
    const to = shadow?.server === server ? shadow.value : spell({ server, by: this.#parts.name, home });
    return [{ client, from, to }];
  }

  /** The shared table has said `value` to a bid. */
  #answered({ client, from, to }: Bid, value: string, epoch: number, why: Why): void {
    this.#pending.delete(client);
    const [won, isNew] = [value === to, from === ''];
    if (from !== to || !won) this.counts.add(why, isNew, won);
    const own = this.#own.bound(client);
    // Unbound or expired meanwhile: whoever comes next asks anew.
    if (!own) return this.#shadows.delete(client);
    const said = this.#shadows.remember(client, value, epoch);
    // Where this balancer has chosen again meanwhile, a bid that won is no news.
    if (!won && own.server !== said?.server) this.#own.follow(client, said, !isNew);
  }

  #told(message: string): void {
    const told = parseTold(message);
    if (!told || told.instance === this.#parts.instance || !this.#inForce) return;
    const { client, value } = told;
    if (client === SERVERS) return void this.states?.sync();
    const asked = this.#asked.get(client);
    if (asked) asked.heard = value;
    const own = this.#own.bound(client);
    if (!own || value === '') this.#shadows.delete(client);
    if (!own) return;
    this.#pending.delete(client);
    const said = value === '' ? undefined : this.#shadows.remember(client, value, this.#link.epoch);
    if (own.server !== said?.server) this.#own.follow(client, said, value !== '');
  }
}
