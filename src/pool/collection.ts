import { keptKey, type Prefix } from './client-key.ts';
import { Kept } from './kept.ts';
import type { Server } from './server.ts';
import type { StickTable } from './stick-table.ts';

/** Bindings that a state file has kept, on their way into a backend's table. @see Kept */
export type Collection = Pick<Kept<Server>, 'add' | 'sorting'> & {
  /** Puts them in force. Returns how many stand. */
  commit(): number;
  rollback(): void;
};

/** Collects, under the keys that clients have with `prefix`, for the `table` that stands or for one that is to come. */
export function collect(
  table: StickTable<Server> | undefined,
  prefix: Prefix,
  adopt: (kept: Kept<Server>) => void,
): Collection {
  const kept = new Kept<Server>((client) => table?.knows(client) === true);
  table?.expect(kept);
  return {
    add: (client, ...rest) => kept.add(keptKey(client, prefix), ...rest),
    sorting: () => kept.sorting(),
    commit: () => {
      adopt(kept);
      return kept.size;
    },
    rollback: () => table?.expect(undefined),
  };
}
