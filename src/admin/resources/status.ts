import { z } from 'zod';
import { version } from '../../version.ts';
import { STAGES } from '../../view.ts';
import { time } from '../parameters.ts';
import { route } from '../route.ts';
import { rowOf, serverRow } from './server-row.ts';

const frontend = z.strictObject({
  name: z.string(),
  addresses: z.array(z.string()).describe('Where it listens'),
  connections: z.int().describe('Open now'),
});

const named = z.strictObject({
  server: z.string().describe('The entry of the configuration'),
  address: z.string().describe('As it stands there'),
  servers: z.int().describe('How many servers it stands for now'),
  resolves: z.boolean().describe('Whether its last look-up succeeded'),
  since: time().nullable().describe('Since when look-ups fail'),
  reason: z.string().describe('Why the last one failed'),
});

const backend = z.strictObject({
  name: z.string(),
  balance: z.string().describe('How a client without a binding is given a server'),
  queue: z.int().describe('Connections that wait for whichever server has a place first'),
  stickTable: z
    .union([z.literal(false), z.strictObject({ size: z.int(), entries: z.int() })])
    .describe('Most and present bindings; false = not sticky'),
  servers: z.array(serverRow),
  names: z.array(named).describe('Names that stand for servers'),
});

export const statusRoute = route({
  method: 'GET',
  path: '/status',
  summary: 'What runs: frontends, backends, servers',
  answer: z.strictObject({
    version: z.string(),
    node: z.string(),
    stage: z.enum(STAGES),
    frontends: z.array(frontend),
    backends: z.array(backend),
  }),
})(({ view }) => {
  view.sweep();
  return {
    version,
    node: process.version,
    stage: view.stage,
    frontends: view.frontends.map(({ name, connections }) => ({
      name,
      addresses: [...view.addressesOf(name)],
      connections,
    })),
    backends: view.backends.map((one) => ({
      name: one.name,
      balance: one.config.balance,
      queue: one.waiting,
      stickTable: one.table ? { size: one.table.size, entries: one.table.entries } : false,
      servers: one.servers.map((server) => rowOf(server, one)),
      names: one.names.map(({ server, address, servers, failing }) => ({
        server,
        address,
        servers,
        resolves: failing === undefined,
        since: failing ? new Date(failing.sinceMs).toISOString() : null,
        reason: failing?.reason ?? '',
      })),
    })),
  };
});
