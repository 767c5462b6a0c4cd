import type { Binding } from '../../src/pool/binding.ts';
import { Kept } from '../../src/pool/kept.ts';
import type { StickTable } from '../../src/pool/stick-table.ts';

/** Gives a table bindings that a state file has kept, as a start or a reload does. Returns how many it has taken. */
export function restore<S extends { readonly name: string }>(
  table: StickTable<S>,
  ...bindings: readonly Binding<S>[]
): number {
  const kept = new Kept<S>((client) => table.knows(client));
  table.expect(kept);
  const servers = new Map<string, S>();
  for (const { client, server, home, remainingMs } of bindings) {
    for (const each of [server, home]) if (each) servers.set(each.name, each);
    kept.add(client, server.name, home?.name, remainingMs);
  }
  for (const _ of kept.sorting());
  table.adopt(kept, servers);
  const taken = kept.size;
  table.expire();
  return taken;
}
