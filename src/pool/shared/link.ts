import { messageOf } from '../../errors.ts';
import type { Bid, OpenSession, Session } from './session.ts';

/** An answer that takes a larger part of the deadline does not bring the link up again: it would not stay. */
const PROMPT = 1 / 2;
/** A session that has not opened, or not answered, for so long is given up for another. */
const PATIENCE_MS = 3_000;
/** A link that nobody uses is tried so often. */
const HEARTBEAT_MS = 5_000;

/** How a link is, and since when, in milliseconds since 1970. The reason is why it is down. */
export type LinkState = { readonly up: boolean; readonly reason: string; readonly sinceMs: number };

/** The clock, and what is done later. */
export type Clock = {
  /** Monotonic, in milliseconds. */
  now(): number;
  /** Returns what calls it off. */
  after(ms: number, act: () => void): () => void;
};

export const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
};

export type LinkEvents = {
  /** There is a session; whether the link is up is not known yet. */
  opened(): void;
  /** It is up or down from now on; `before` is what was true until now: undefined at the first time. */
  changed(state: LinkState, before: LinkState | undefined): void;
  /** An answer took so long. */
  answered(ms: number): void;
  told(message: string): void;
};

export type LinkParts = {
  /** No other balancer has the same. */
  readonly instance: string;
  readonly open: OpenSession;
  readonly clock: Clock;
  /** Nobody waits longer for an answer. The first who has waited so long opens the circuit for all. */
  readonly timeoutMs: number;
};

/** How long the key that a probe has written lives. */
const PROBE_LIFE_MS = 5_000;
/**
 * The way to the shared table, with the circuit that keeps connections from waiting for it: a fault, or an answer that
 * is late, takes the link down for everybody, and while it is down nobody asks but the link itself. One session after
 * another; what was learnt before the last time that the link came up is of another `epoch`.
 */
export class Link {
  /** Rises whenever the link comes up: what others changed before may not have been heard. */
  epoch = 0;
  /** How long the last answer took. */
  answerMs: number | undefined;
  readonly #name: string;
  readonly #open: OpenSession;
  readonly #events: LinkEvents;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #state: LinkState | undefined;
  #session: Session | undefined;
  #closed = false;
  /** When the session began to open, or the probe was sent, that has had no answer yet. */
  #askedMs: number | undefined;
  #heardMs = 0;
  #attempt = 0;
  #probes = 0;
  /** Those who wait for an answer; each is told when nothing will come. */
  readonly #waiting = new Set<() => void>();

  constructor({ instance, open, clock, timeoutMs }: LinkParts, events: LinkEvents) {
    this.#name = instance;
    this.#open = open;
    this.#events = events;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Whether whoever asks now may wait for an answer. */
  get up(): boolean {
    return this.#state?.up === true && !this.#closed;
  }

  /** For questions that no connection waits for: the link may be down, since answers are late. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Undefined before the first attempt has come to an end. */
  get state(): LinkState | undefined {
    return this.#state;
  }

  /**
   * What the keys of the bids say from now on; undefined where the link goes down before there is an answer, within
   * the deadline. It is up.
   */
  agree(bids: readonly Bid[], expireMs: number): Promise<readonly string[] | undefined> {
    const session = this.#session;
    if (!session || !this.up) return Promise.resolve(undefined);
    const askedMs = this.#clock.now();
    return new Promise((resolve) => {
      const settle = (held: readonly string[] | undefined): void => {
        this.#waiting.delete(giveUp);
        callOff();
        resolve(held);
      };
      const giveUp = (): void => settle(undefined);
      this.#waiting.add(giveUp);
      const callOff = this.#clock.after(this.#timeoutMs, () => this.#fall(`no answer within ${this.#timeoutMs} ms`));
      const ask = async (): Promise<void> => {
        try {
          const held = await session.agree(bids, expireMs);
          if (this.#waiting.has(giveUp)) this.#heard(askedMs);
          settle(held);
        } catch (error) {
          if (this.#session === session && this.#waiting.has(giveUp)) this.#fall(messageOf(error));
          settle(undefined);
        }
      };
      void ask();
    });
  }

  /** To be called about once a second, and once at first: sees to a link that is down, or that nobody uses. */
  look(): void {
    const nowMs = this.#clock.now();
    if (this.#closed) return;
    if (this.#askedMs !== undefined) {
      if (nowMs - this.#askedMs < PATIENCE_MS) return;
      this.#drop();
      this.#fall(`no answer within ${PATIENCE_MS} ms`);
    }
    if (!this.#session) this.#begin();
    else if (!this.up || nowMs - this.#heardMs >= HEARTBEAT_MS) this.#probe(this.#session);
  }

  close(): void {
    this.#closed = true;
    this.#drop();
    for (const giveUp of this.#waiting) giveUp();
  }

  #begin(): void {
    const attempt = ++this.#attempt;
    const isMine = (): boolean => this.#attempt === attempt && !this.#closed;
    this.#askedMs = this.#clock.now();
    const lost = (reason: string): void => {
      if (!isMine()) return;
      this.#drop();
      this.#fall(reason);
    };
    const told = (message: string): void => {
      if (isMine()) this.#events.told(message);
    };
    const open = async (): Promise<void> => {
      try {
        const session = await this.#open({ told, lost });
        if (!isMine()) return session.close();
        this.#session = session;
        this.#events.opened();
        this.#probe(session);
      } catch (error) {
        lost(messageOf(error));
      }
    };
    void open();
  }

  /** Asks as a connection would, and brings the link up if the answer is good and prompt, or down. */
  #probe(session: Session): void {
    const askedMs = this.#clock.now();
    this.#askedMs = askedMs;
    const late = this.#clock.after(this.#timeoutMs, () => {
      if (this.#session === session) this.#fall(`no answer within ${this.#timeoutMs} ms`);
    });
    const isMine = (): boolean => {
      late();
      if (this.#session !== session) return false;
      this.#askedMs = undefined;
      return true;
    };
    // A key of its own: to prolong the life of a key may succeed where nothing can be written.
    const client = `probe/${this.#name}/${++this.#probes}`;
    const ask = async (): Promise<void> => {
      try {
        await session.agree([{ client, from: '', to: 'berth' }], PROBE_LIFE_MS);
        if (!isMine()) return;
        const tookMs = this.#heard(askedMs);
        if (tookMs <= this.#timeoutMs * PROMPT) this.#rise();
        else if (!this.up) this.#fall(`an answer took ${Math.round(tookMs)} ms`);
      } catch (error) {
        if (isMine()) this.#fall(messageOf(error));
      }
    };
    void ask();
  }

  #heard(askedMs: number): number {
    this.#heardMs = this.#clock.now();
    const tookMs = this.#heardMs - askedMs;
    this.answerMs = tookMs;
    this.#events.answered(tookMs);
    return tookMs;
  }

  #drop(): void {
    this.#attempt++;
    this.#askedMs = undefined;
    this.#session?.close();
    this.#session = undefined;
  }

  #rise(): void {
    if (this.up) return;
    this.epoch++;
    this.#become({ up: true, reason: '', sinceMs: Date.now() });
  }

  #fall(reason: string): void {
    if (this.#closed) return;
    const wasDown = this.#state?.up === false;
    if (!wasDown) this.#become({ up: false, reason, sinceMs: Date.now() });
    else if (this.#state) this.#state = { ...this.#state, reason };
    for (const giveUp of this.#waiting) giveUp();
  }

  #become(state: LinkState): void {
    const before = this.#state;
    this.#state = state;
    this.#events.changed(state, before);
  }
}
