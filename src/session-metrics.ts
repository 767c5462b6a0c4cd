import { DIRECTIONS } from './clients/session.ts';
import type { Counts } from './counts.ts';
import type { Server } from './pool/server.ts';
import { histogram, type Read, type Sample } from './samples.ts';
import type { View } from './view.ts';

type SessionMetric = {
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly name: string;
  readonly help: string;
  readonly read: Read;
};

/** The metrics of clients' sessions. A session counts when it ends, for the server that it had last. */
export function sessionMetrics(view: View, counts: Counts): readonly SessionMetric[] {
  const total = (name: string, help: string, what: 'count' | 'in' | 'out'): SessionMetric => ({
    type: 'counter',
    name: `session_${name}`,
    help,
    read: () =>
      view.backends.flatMap(({ name: backend, servers }) =>
        servers.flatMap((server) => {
          const of = counts.ofServer(server).sessions;
          return DIRECTIONS.map((direction) => ({
            labels: { backend, server: server.name, direction },
            value: of[direction][what],
          }));
        }),
      ),
  });
  return [
    total('total', 'Sessions of clients that have ended, such as a push or a pull', 'count'),
    total('bytes_in_total', 'Bytes from clients to the server in sessions that have ended', 'in'),
    total('bytes_out_total', 'Bytes from the server to clients in sessions that have ended', 'out'),
    {
      type: 'histogram',
      name: 'session_seconds',
      help: 'How long sessions lasted, without the quiet time at their end',
      read: () =>
        view.backends.flatMap((backend) =>
          DIRECTIONS.flatMap((direction) => {
            const labels = { backend: backend.name, direction };
            return histogram('session_seconds', counts.ofBackend(backend).sessionSeconds[direction], labels);
          }),
        ),
    },
    { type: 'gauge', name: 'sessions', help: 'Sessions under way', read: () => underWay(view) },
    {
      type: 'counter',
      name: 'session_evictions_total',
      help: 'Sessions that were ended early to make room for others',
      read: () => [{ labels: {}, value: view.sessions.evictions }],
    },
  ];
}

/** Sessions that have reached no server yet belong to none. */
function underWay({ backends, sessions }: View): Sample[] {
  const of = new Map<Server, number>();
  for (const { server } of sessions.underWay) if (server) of.set(server, (of.get(server) ?? 0) + 1);
  return backends.flatMap(({ name: backend, servers }) =>
    servers.map((server) => ({ labels: { backend, server: server.name }, value: of.get(server) ?? 0 })),
  );
}
