import type { Config } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import type { Frontend } from '../proxy/frontend.ts';

/**
 * A configuration in force, as a value: it is made by a plan, put in force by one commit, and never changed. A
 * connection keeps the part of it that it began under (its terms); what outlives generations stands in the house.
 */
export type Generation = {
  readonly config: Config;
  /** Connections that fit below the open-file limit. */
  readonly capacity: number;
  readonly frontends: ReadonlyMap<string, Frontend>;
  readonly backends: ReadonlyMap<string, Backend>;
};
