import type { Moves } from '../moves.ts';
import type { Queue } from '../queue.ts';
import type { Server } from '../server.ts';
import type { StickTable } from '../stick-table.ts';
import type { OwnTable } from './parts.ts';

/** What is used of a backend. */
type Owner = {
  readonly table: StickTable<Server> | undefined;
  readonly servers: readonly Server[];
  readonly moves: Moves;
};

/** The stick table of a backend, as the shared one sees it. */
export function ownTable(owner: Owner, queue: Queue, expireMs: () => number): OwnTable {
  const named = (name: string | undefined): Server | undefined => owner.servers.find((server) => server.name === name);
  return {
    get expireMs() {
      return expireMs();
    },
    bound(client) {
      const binding = owner.table?.peek(client);
      if (!binding) return undefined;
      const { server, connections } = binding;
      return { server: server.name, home: owner.table?.home(client)?.name, open: connections > 0 };
    },
    follow(client, binding, isMove) {
      const { table, moves } = owner;
      const before = table?.peek(client)?.server;
      const server = named(binding?.server);
      table?.follow(client, server, named(binding?.home));
      if (isMove && before && server && binding) {
        const reason = `${binding.by} moved it`;
        moves.add({ atMs: Date.now(), client, from: before.name, to: server.name, reason });
      }
      // Those of its connections that wait do so for the new server from now on.
      queue.unbound(client);
    },
  };
}
