import { messageOf } from '../../errors.ts';
import { hear, isLater, parseSaid, spellSaid, TOPICS, type Said, type Topic } from '../said.ts';
import type { Server } from '../server.ts';
import { within } from './agreement.ts';
import type { SharedCounts } from './counts.ts';
import type { Clock, Link } from './link.ts';
import type { SharedTableEvents } from './parts.ts';
import type { Session, StateBid } from './session.ts';

/** News may be lost, and Redis its keys: what is said is read again so often. */
const EVERY_MS = 5_000;
/** Bids of one question after another: each is in vain only where another balancer was faster. */
const ROUNDS = 10;

export type SharedStatesParts = {
  /** What other balancers call this one. */
  readonly name: string;
  /** In force. */
  readonly servers: () => readonly Server[];
  readonly link: Pick<Link, 'session' | 'up'>;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly counts: SharedCounts;
  readonly events: Pick<SharedTableEvents, 'statesFailed'>;
};

/** What the shared table says of a server; no balancer has written what cannot be read. */
type Held = { readonly text: string; readonly said: Said | undefined };
type Own = { readonly server: Server; readonly topic: Topic; readonly field: string };

/**
 * What operators say of servers, at whichever balancer: each hears of it, and what was said last stands. A balancer
 * believes its own operator at once, and bids for that; where the shared table says something later, it believes that.
 * What is said of a server that is not known here is left alone, until the server comes.
 */
export class SharedStates {
  readonly #parts: SharedStatesParts;
  /** What the shared table said when it was asked last, by field. */
  #held: ReadonlyMap<string, Held> = new Map();
  /** What was said while the shared table was not reached, by field. */
  readonly #late = new Map<string, string>();
  #asked: { readonly session: Session; readonly done: Promise<void> } | undefined;
  #askedMs = -Infinity;
  /** Something was said, or told, since the question that is under way. */
  #again = false;
  #inForce = false;
  #settling = false;
  #fault: { readonly reason: string; readonly told: boolean } | undefined;

  constructor(parts: SharedStatesParts) {
    this.#parts = parts;
  }

  /** What was said here, and others cannot hear yet. */
  get pending(): number {
    return this.#inForce ? this.#bids().length : 0;
  }

  /** The question that is under way. */
  get reading(): Promise<void> | undefined {
    return this.#asked?.done;
  }

  /** Servers are told what others say of them from now on, and others what is said here. */
  enter(): void {
    this.#inForce = true;
    this.settle();
    void this.sync();
  }

  /** To be called about once a second. */
  look(): void {
    if (this.#parts.clock.now() - this.#askedMs >= EVERY_MS) void this.sync();
  }

  /** Something was said of a server, or servers have come: whatever was said last is believed here, and told. */
  settle(): void {
    if (!this.#inForce || this.#settling) return;
    // A server that hears wakes whoever looks after servers, who calls this.
    this.#settling = true;
    for (const { server, topic, field } of this.#own()) {
      const said = this.#held.get(field)?.said;
      if (said) hear(server, topic, said);
    }
    this.#settling = false;
    const bids = this.#bids();
    this.#conclude(bids);
    if (bids.length === 0) return;
    if (!this.#parts.link.up) for (const { field, to } of bids) this.#late.set(field, to);
    void this.sync();
  }

  /** Asks what is said, and says what is to be said. Resolves when that has come to an end, or is in vain. */
  sync(): Promise<void> {
    const { session } = this.#parts.link;
    if (!session) return Promise.resolve();
    if (this.#asked?.session === session) {
      this.#again = true;
      return this.#asked.done;
    }
    this.#askedMs = this.#parts.clock.now();
    const done = this.#ask(session);
    this.#asked = { session, done };
    return done;
  }

  /** Whether others can hear what was said here; it takes no longer than a connection would wait. */
  async isTold(): Promise<boolean> {
    const { link, timeoutMs, clock } = this.#parts;
    if (link.session && this.pending > 0) await within(this.reading ?? this.sync(), timeoutMs, clock);
    return this.pending === 0;
  }

  async #ask(session: Session): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      this.#again = false;
      const answer = await this.#answer(session);
      // What another session has said may be later.
      if (this.#parts.link.session !== session) break;
      if (typeof answer === 'string') {
        this.#failed(answer);
        break;
      }
      this.#fault = undefined;
      this.#held = heldIn(answer);
      this.settle();
      if (!this.#again) break;
    }
    if (this.#asked?.session === session) this.#asked = undefined;
  }

  /** What the shared table says, or why it does not. */
  async #answer(session: Session): Promise<ReadonlyMap<string, string> | string> {
    try {
      return await session.states(this.#inForce ? this.#bids() : []);
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Told when it happens again: by then the link has gone down, unless it is the fault of states alone. */
  #failed(reason: string): void {
    if (!this.#parts.link.up) return;
    const again = this.#fault?.reason === reason;
    if (again && this.#fault?.told === false) this.#parts.events.statesFailed(reason);
    this.#fault = { reason, told: again };
  }

  /** What became of what was said while the shared table was not reached. */
  #conclude(bids: readonly StateBid[]): void {
    if (this.#late.size === 0 || !this.#parts.link.up) return;
    for (const { field, to } of bids) if (this.#late.has(field)) this.#late.set(field, to);
    for (const [field, to] of this.#late) {
      if (bids.some((bid) => bid.field === field)) continue;
      this.#late.delete(field);
      this.#parts.counts.add('reconciled', false, this.#held.get(field)?.text === to);
    }
  }

  /** For all that was said here later than what the shared table says. */
  #bids(): StateBid[] {
    return [...this.#own()].flatMap(({ server, topic, field }) => {
      const said = server.said[topic];
      const held = this.#held.get(field);
      if (!said || !isLater(said, held?.said)) return [];
      return [{ field, from: held?.text ?? '', to: spellSaid(said, this.#parts.name) }];
    });
  }

  *#own(): Generator<Own> {
    for (const server of this.#parts.servers()) {
      for (const topic of TOPICS) yield { server, topic, field: `${server.name} ${topic}` };
    }
  }
}

function heldIn(answer: ReadonlyMap<string, string>): ReadonlyMap<string, Held> {
  return new Map(
    [...answer].flatMap(([field, text]) => {
      const topic = TOPICS.find((one) => field.endsWith(` ${one}`));
      return topic ? [[field, { text, said: parseSaid(topic, text) }] as const] : [];
    }),
  );
}
