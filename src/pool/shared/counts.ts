/** Why a bid is made: a connection waits for it, a life is to be prolonged, or the link is up again. */
export type Why = 'asked' | 'prolonged' | 'reconciled';

/** What came of the bids of one backend. */
export class SharedCounts {
  /** For new clients: bids that won, and those that met the binding of another balancer. */
  readonly claims = { won: 0, followed: 0 };
  /** To move clients: bids that won, and those that met another binding than they were to change. */
  readonly moves = { won: 0, followed: 0 };
  /** What was bound or moved while the link was down: it was written later, or gave way. */
  readonly reconciled = { won: 0, followed: 0 };
  /** Own choices that were given up for another balancer's, beside those for new clients. */
  conflicts = 0;

  /** A bid that was to change something, or was lost. */
  add(why: Why, isNew: boolean, won: boolean): void {
    const of = why === 'reconciled' ? this.reconciled : isNew ? this.claims : this.moves;
    of[won ? 'won' : 'followed']++;
    if (!won && !(isNew && why === 'asked')) this.conflicts++;
  }
}
