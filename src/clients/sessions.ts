import type { Backend } from '../pool/backend.ts';
import { Activity } from './activity.ts';
import { Session, type Keeper } from './session.ts';

/** A session is over when for so long no connection began or ended, and none moved bytes. */
const QUIET_MS = 10_000;
/** Sessions under way at one time. A session takes 300 bytes, and 200 more once it has moved bytes. */
const MOST_SESSIONS = 20_000;
/** Sessions that end in one turn of the event loop: two milliseconds of work, with their lines in the log. */
const ENDS_A_TURN = 100;

/** `session` is as it was at its end for the time of the call. */
export type SessionObserver = { sessionEnded(session: Session): void };

/**
 * What clients do: one `docker push` opens up to 27 connections, which are one session. Nothing is done while nothing
 * happens: the sweep that looks at each connection ends sessions too.
 */
export class Sessions implements Keeper {
  /** Sessions that were ended early, to make room for others. */
  evictions = 0;
  /** Clients that have a connection or a session. A backend that is forgotten takes its clients along. */
  readonly #clients = new WeakMap<Backend, Map<string, Session>>();
  readonly #activity = new Activity();
  readonly #ended: SessionObserver['sessionEnded'];
  readonly #most: number;
  #more: NodeJS.Immediate | undefined;

  constructor(ended: SessionObserver['sessionEnded'], most = MOST_SESSIONS) {
    this.#ended = ended;
    this.#most = most;
  }

  /** Those under way, the quietest first. */
  get underWay(): Session[] {
    return [...this.#activity];
  }

  /** A connection of `client`, its key in the stick table or `unix`, has come to `backend`. */
  arrived(backend: Backend, client: string, nowMs: number): Session {
    let clients = this.#clients.get(backend);
    if (!clients) this.#clients.set(backend, (clients = new Map()));
    let session = clients.get(client);
    if (!session) clients.set(client, (session = new Session(backend, client, this)));
    session.came(nowMs);
    return session;
  }

  active(session: Session): void {
    const { quietest, size } = this.#activity;
    if (size >= this.#most && quietest && !this.#activity.has(session)) {
      this.evictions++;
      this.#end(quietest);
    }
    this.#activity.touch(session);
  }

  idle({ backend, client }: Session): void {
    this.#clients.get(backend)?.delete(client);
  }

  /** To be called about once a second; `nowMs` is `performance.now()`. */
  sweep(nowMs: number): void {
    this.#endQuiet(nowMs);
    for (const session of this.#activity) session.sweep(nowMs);
  }

  /** Ends every session. */
  close(): void {
    clearImmediate(this.#more);
    for (const session of this.underWay) this.#end(session);
  }

  /** Many may have become quiet at one moment: they go in slices. */
  #endQuiet(nowMs: number): void {
    clearImmediate(this.#more);
    for (let ends = 0; ends < ENDS_A_TURN; ends++) {
      const { quietest } = this.#activity;
      if (!quietest || nowMs - quietest.activeMs < QUIET_MS) return;
      this.#end(quietest);
    }
    this.#more = setImmediate(() => this.#endQuiet(nowMs));
  }

  #end(session: Session): void {
    this.#activity.remove(session);
    this.#ended(session);
    session.end();
  }
}
