/**
 * A change that is prepared and not in force yet. Exactly one of `commit` and `rollback` is called, once; neither can
 * fail, and neither waits.
 */
export type Step = {
  /** Puts the change in force. */
  commit(): void;
  /** Leaves nothing of what was prepared. */
  rollback(): void;
};
