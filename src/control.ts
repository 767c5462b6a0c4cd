import type { Change } from './generation/changes.ts';

export type { Change };

/** The problems that keep the old configuration in force, or what changes. */
export type Outcome<T> = { readonly problems: readonly string[] } | { readonly changes: readonly T[] };

/** A configuration that stands in no file; problems call it `name`. */
export type Draft = { readonly text: string; readonly name: string };

/** What an operator can have the balancer do as a whole. */
export type Control = {
  /** Loads the configuration file again. The changes are sentences. */
  reload(): Promise<Outcome<string>>;
  /** What a reload would change: of the file as it is now, or of a draft of it. Changes nothing. */
  rehearse(draft?: Draft): Promise<Outcome<Change>>;
};
