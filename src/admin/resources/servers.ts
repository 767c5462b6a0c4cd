import * as z from 'zod';
import { ADMIN_STATES, hear, saidNow, weightWord } from '../../pool/said.ts';
import { findBackend, findServer } from '../find.ts';
import { yesNo } from '../parameters.ts';
import { Refusal, route } from '../route.ts';
import { serverRow, rowOf } from './server-row.ts';

const MOST_WEIGHT = 256;
const weightFault = `expected a whole number from 0 to ${MOST_WEIGHT}`;

export const serverRoute = route({
  method: 'PUT',
  path: '/servers/{backend}/{server}',
  summary: 'Change what the operator wants of a server',
  query: z.strictObject({
    dryRun: yesNo().default(false).describe('Change nothing, and answer the same'),
  }),
  body: {
    kind: 'json',
    schema: z.strictObject({
      state: z
        .enum(ADMIN_STATES, { error: `expected one of ${ADMIN_STATES.join(', ')}` })
        .optional()
        .describe('drain takes no new client, maint takes none'),
      weight: z
        .int({ error: weightFault })
        .min(0, { error: weightFault })
        .max(MOST_WEIGHT, { error: weightFault })
        .optional()
        .describe('Its share of new clients; it holds until a reload brings another weight, over restarts too'),
    }),
  },
  answer: z.strictObject({
    before: z.strictObject({ state: z.enum(ADMIN_STATES), weight: z.number() }),
    server: serverRow.describe('After the change; as it is, where nothing is changed'),
    moves: z.int().describe('Clients that are bound to it and lose it by this'),
    shared: z
      .boolean()
      .nullable()
      .describe('Whether the balancers that share states can hear of it by now; null where states are not shared'),
  }),
  refusals: [404],
  changes: ({ dryRun }) => !dryRun,
})(async ({ view, counts, params, query, body: { state, weight }, who }) => {
  const backend = findBackend(view, params.backend);
  if (backend instanceof Refusal) return backend;
  const server = findServer(backend, params.server);
  if (server instanceof Refusal) return server;
  if (state === undefined && weight === undefined)
    return new Refusal(400, 'nothing to change: expected state or weight');
  const { admin, ownWeight = server.config.weight } = server;
  const moves = admin !== 'maint' && state === 'maint' ? (backend.table?.entriesOf(server) ?? 0) : 0;
  if (!query.dryRun) {
    const { said, config } = server;
    if (state !== undefined) hear(server, 'state', saidNow(state, who, said.state));
    if (weight !== undefined) {
      hear(server, 'weight', saidNow(weightWord(weight, config.weight), who, said.weight));
    }
  }
  const before = { state: admin, weight: ownWeight };
  const states = backend.shared?.states;
  const shared = states ? await states.isTold() : null;
  view.sweep();
  return { before, server: rowOf(server, backend, { view, counts }), moves, shared };
});
