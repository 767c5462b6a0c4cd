import type { Session } from './session.ts';

/** Sessions in the order of their last activity: a list that links them, so that each step costs the same. */
export class Activity {
  size = 0;
  #quietest: Session | undefined;
  #busiest: Session | undefined;

  /** The session whose last activity lies furthest back. */
  get quietest(): Session | undefined {
    return this.#quietest;
  }

  has(session: Session): boolean {
    return session === this.#quietest || session.quieter !== undefined;
  }

  /** Something was done in the session just now. */
  touch(session: Session): void {
    if (session === this.#busiest) return;
    if (this.has(session)) this.remove(session);
    session.quieter = this.#busiest;
    if (this.#busiest) this.#busiest.busier = session;
    else this.#quietest = session;
    this.#busiest = session;
    this.size++;
  }

  remove(session: Session): void {
    const { quieter, busier } = session;
    if (quieter) quieter.busier = busier;
    else this.#quietest = busier;
    if (busier) busier.quieter = quieter;
    else this.#busiest = quieter;
    session.quieter = undefined;
    session.busier = undefined;
    this.size--;
  }

  /** The quietest first. The list must not change meanwhile. */
  *[Symbol.iterator](): Generator<Session> {
    for (let session = this.#quietest; session; session = session.busier) yield session;
  }
}
