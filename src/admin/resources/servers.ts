import { z } from 'zod';
import { ADMIN_STATES } from '../../pool/server.ts';
import { findBackend, findServer } from '../find.ts';
import { Refusal, route } from '../route.ts';
import { serverRow, rowOf } from './server-row.ts';

export const serverRoute = route({
  method: 'PUT',
  path: '/servers/{backend}/{server}',
  summary: 'Change what the operator wants of a server',
  body: {
    kind: 'json',
    schema: z.strictObject({ state: z.enum(ADMIN_STATES, { error: `expected one of ${ADMIN_STATES.join(', ')}` }) }),
  },
  answer: z.strictObject({
    before: z.strictObject({ state: z.enum(ADMIN_STATES), weight: z.number() }),
    server: serverRow,
    moves: z.int().describe('Clients that are bound to it and lose it by this'),
  }),
})(({ view, params, body }) => {
  const backend = findBackend(view, params.backend);
  if (backend instanceof Refusal) return backend;
  const server = findServer(backend, params.server);
  if (server instanceof Refusal) return server;
  const { admin, weight, usable } = server;
  const moves = usable && body.state === 'maint' ? (backend.table?.entriesOf(server) ?? 0) : 0;
  server.setAdmin(body.state);
  return { before: { state: admin, weight }, server: rowOf(server, backend), moves };
});
