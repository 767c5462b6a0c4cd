import type { Config } from '../config/schema.ts';
import type { Backend } from '../pool/backend.ts';
import type { Frontend } from '../proxy/frontend.ts';

/**
 * A configuration in force, as a value: a plan makes it, one commit puts it in force, and nothing changes it. A
 * connection keeps the part under which it began (its terms); what outlives generations stands in the house.
 */
export type Generation = {
  readonly config: Config;
  /** Connections that fit below the open-file limit. */
  readonly capacity: number;
  readonly frontends: ReadonlyMap<string, Frontend>;
  readonly backends: ReadonlyMap<string, Backend>;
};
