/** What an operator can have the balancer do as a whole. */
export type Control = {
  /**
   * Loads the configuration file again. Resolves to the problems that keep the old configuration in force, none where
   * the new one is.
   */
  reload(): Promise<readonly string[]>;
};
