/** Redis as the shared table uses it, on a clock and a network of its own. A contract test holds it against Redis. */
import * as fc from 'fast-check';
import type { Clock } from '../../src/pool/shared/link.ts';
import { SERVERS } from '../../src/pool/shared/words.ts';
import type { Bid, OpenSession, SessionEvents, StateBid } from '../../src/pool/shared/session.ts';

/** Time that passes when it is told to. What is due happens in order, each thing wholly before the next. */
export class SimulatedClock implements Clock {
  nowMs = 0;
  #serial = 0;
  readonly #due: { readonly atMs: number; readonly serial: number; readonly act: () => void }[] = [];

  now(): number {
    return this.nowMs;
  }

  after(ms: number, act: () => void): () => void {
    const entry = { atMs: this.nowMs + ms, serial: this.#serial++, act };
    this.#due.push(entry);
    return () => {
      const place = this.#due.indexOf(entry);
      if (place >= 0) this.#due.splice(place, 1);
    };
  }

  /** `between` is called whenever nothing more happens at one moment. */
  async advance(ms: number, between: () => void = () => {}): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      // What has happened may have promised things: they come first.
      await new Promise(setImmediate);
      between();
      const [next] = this.#due.toSorted((a, b) => a.atMs - b.atMs || a.serial - b.serial);
      if (!next || next.atMs > end) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.act();
    }
    this.nowMs = end;
  }
}

/** One direction of a connection: what is sent arrives in order, after the delay of the moment. */
class Wire {
  /** Sent and not arrived. */
  readonly under: string[] = [];
  #lastMs = 0;
  readonly #clock: Clock;
  readonly #delayMs: () => number;

  constructor(clock: Clock, delayMs: () => number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  send(what: string, arrive: () => void): void {
    const nowMs = this.#clock.now();
    this.#lastMs = Math.max(this.#lastMs, nowMs + this.#delayMs());
    this.under.push(what);
    this.#clock.after(this.#lastMs - nowMs, () => {
      this.under.shift();
      arrive();
    });
  }
}

type Reached = {
  readonly events: SessionEvents;
  readonly back: Wire;
  readonly news: Wire;
  end(reason: string): void;
};
type Held = { readonly value: string; readonly untilMs: number };

/** One Redis and the ways to it. */
export class SharedRedis {
  readonly clock: Clock;
  readonly keys = new Map<string, Held>();
  /** What is said of servers. */
  readonly fields = new Map<string, string>();
  /** Bids that were made of it, one after another. */
  commands = 0;
  /** Nobody can connect. */
  refuses = false;
  /** Says this to all bids. */
  fault: string | undefined;
  /** Commands that have come while it was frozen; undefined while it is not. */
  #frozen: (() => void)[] | undefined;
  readonly #sessions = new Map<string, Reached>();
  /** Milliseconds one way, for each balancer. */
  readonly delays = new Map<string, number>();
  /** Where news come by another connection, as they do from a cluster, with a delay of its own. */
  readonly newsDelays = new Map<string, number>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get(client: string): string | undefined {
    const held = this.keys.get(client);
    return held && held.untilMs > this.clock.now() ? held.value : undefined;
  }

  /** Milliseconds that the key of a client lives. */
  lifeOf(client: string): number {
    return (this.keys.get(client)?.untilMs ?? 0) - this.clock.now();
  }

  /** Whether something about the client is on its way to the balancer. */
  isUnderWay(instance: string, client: string): boolean {
    const { back, news } = this.#sessions.get(instance) ?? {};
    const under = [...(back?.under ?? []), ...(news?.under ?? [])];
    return under.some((what) => what.split('\n').includes(client));
  }

  freeze(): void {
    this.#frozen ??= [];
  }

  thaw(): void {
    const waiting = this.#frozen ?? [];
    this.#frozen = undefined;
    for (const act of waiting) act();
  }

  /** The connection of a balancer breaks. */
  cut(instance: string): void {
    this.#sessions.get(instance)?.end('the connection is lost');
  }

  restart(isEmpty: boolean): void {
    this.#frozen = this.#frozen && [];
    if (isEmpty) for (const held of [this.keys, this.fields]) held.clear();
    for (const instance of Array.from(this.#sessions.keys())) this.cut(instance);
  }

  sessions(instance: string): OpenSession {
    return (events) =>
      new Promise((resolve, reject) => {
        const delayMs = (): number => this.delays.get(instance) ?? 1;
        const [to, back] = [new Wire(this.clock, delayMs), new Wire(this.clock, delayMs)];
        const news = new Wire(this.clock, () => this.newsDelays.get(instance) ?? 0);
        let open = true;
        const waiting = new Set<(error: Error) => void>();
        const end = (reason: string): void => {
          if (!open) return;
          open = false;
          if (this.#sessions.get(instance) === session) this.#sessions.delete(instance);
          for (const fail of waiting) fail(new Error(reason));
          events.lost(reason);
        };
        const session = { events, back, news, end };
        const ask = <T>(what: string, act: () => T): Promise<T> =>
          new Promise((answer, fail) => {
            if (!open) return fail(new Error('the connection is closed'));
            waiting.add(fail);
            to.send(what, () => {
              const run = (): void => {
                if (!open) return;
                let result: T | Error;
                try {
                  result = act();
                } catch (error) {
                  result = error as Error;
                }
                back.send(what, () => {
                  if (!open) return;
                  waiting.delete(fail);
                  if (result instanceof Error) fail(result);
                  else answer(result);
                });
              };
              if (this.#frozen) this.#frozen.push(run);
              else run();
            });
          });
        const opened = {
          agree: (bids: readonly Bid[], expireMs: number) =>
            ask(bids.map(({ client }) => client).join('\n'), () => this.agree(instance, bids, expireMs)),
          states: (bids: readonly StateBid[]) => ask(SERVERS, () => this.states(instance, bids)),
          close: () => {
            open = false;
            if (this.#sessions.get(instance) === session) this.#sessions.delete(instance);
          },
        };
        if (this.refuses) return reject(new Error('connection refused'));
        ask('hello', () => this.#sessions.set(instance, session)).then(() => resolve(opened), reject);
      });
  }

  /** What the script does. */
  agree(instance: string, bids: readonly Bid[], expireMs: number): readonly string[] {
    if (this.fault !== undefined) throw new Error(this.fault);
    const untilMs = expireMs === 0 ? Infinity : this.clock.now() + expireMs;
    return bids.map(({ client, from, to }) => {
      this.commands++;
      const now = this.get(client);
      const mine = now === undefined || now === from || (to === '' && from === '');
      if (now !== undefined && (now === to || !mine)) {
        this.keys.set(client, {
          value: now,
          untilMs: expireMs === 0 ? (this.keys.get(client)?.untilMs ?? 0) : untilMs,
        });
        return now;
      }
      if (to === '') this.keys.delete(client);
      else this.keys.set(client, { value: to, untilMs });
      if (now !== undefined) this.#publish(to === '' ? `${instance} ${client}` : `${instance} ${client} ${to}`, client);
      return to;
    });
  }

  /** What the script for servers does. */
  states(instance: string, bids: readonly StateBid[]): ReadonlyMap<string, string> {
    if (this.fault !== undefined) throw new Error(this.fault);
    const mine = bids.filter(({ field, from, to }) => {
      if ((this.fields.get(field) ?? '') !== from) return false;
      this.fields.set(field, to);
      return true;
    });
    if (mine.length > 0) this.#publish(`${instance} ${SERVERS}`, SERVERS);
    return new Map(this.fields);
  }

  /** Every balancer hears of it. */
  readonly told: string[] = [];

  #publish(message: string, client: string): void {
    this.told.push(message);
    for (const [instance, { events, back, news }] of this.#sessions) {
      const way = this.newsDelays.has(instance) ? news : back;
      way.send(client, () => events.told(message));
    }
  }
}

type Trouble = readonly [what: string, make: (redis: SharedRedis) => void];

/** What Redis and the network may do to balancers of these names. */
export function troubles(names: readonly string[]): fc.Arbitrary<Trouble> {
  const who = fc.constantFrom(...names);
  const trouble = (what: string, make: Trouble[1]): Trouble => [what, make];
  return fc.oneof(
    {
      weight: 2,
      arbitrary: fc
        .tuple(who, fc.constantFrom(0, 1, 5, 20, 60, 200))
        .map(([name, ms]) => trouble(`${name} is ${ms} ms away`, (redis) => void redis.delays.set(name, ms))),
    },
    fc
      .tuple(who, fc.constantFrom(0, 5, 60))
      .map(([name, ms]) => trouble(`news take ${ms} ms to ${name}`, (redis) => void redis.newsDelays.set(name, ms))),
    fc.boolean().map((on) => trouble(`frozen: ${on}`, (redis) => (on ? redis.freeze() : redis.thaw()))),
    who.map((name) => trouble(`${name} is cut`, (redis) => redis.cut(name))),
    fc.boolean().map((empty) => trouble(`Redis restarts, empty: ${empty}`, (redis) => redis.restart(empty))),
    fc.boolean().map((on) => trouble(`refuses: ${on}`, (redis) => void (redis.refuses = on))),
    fc.constantFrom(undefined, 'OOM').map((fault) => trouble(`fault: ${fault}`, (redis) => void (redis.fault = fault))),
  );
}
