import { z } from 'zod';
import { formatEndpoint } from '../../config/values.ts';
import type { Backend } from '../../pool/backend.ts';
import { ADMIN_STATES, type Server } from '../../pool/server.ts';
import { time } from '../parameters.ts';

/** A server, as status and whoever changes it see it. */
export const serverRow = z.strictObject({
  name: z.string(),
  address: z.string().describe('host:port as configured, or as DNS found it'),
  up: z.boolean().describe('What checks say'),
  since: time().describe('Since when it is up or down'),
  reason: z.string().describe('Why it is down; empty while it is up'),
  storage: z.enum(['known', 'unknown']).nullable().describe('Whether checks can ask for its storage; null = not asked'),
  storageReason: z.string().describe('Why they cannot'),
  state: z.enum(ADMIN_STATES).describe('What the operator wants'),
  usable: z.boolean().describe('Up, and not in maint'),
  weight: z.number().describe('Its share of new clients now'),
  backup: z.boolean().describe('Used only when no other server is usable'),
  connections: z.int().describe('Open now'),
  queue: z.int().describe('Connections of bound clients that wait for it'),
  clients: z.int().describe('Clients that are bound to it'),
  bytesIn: z.int().describe('From clients to it'),
  bytesOut: z.int().describe('From it to clients'),
});

export function rowOf(server: Server, { table }: Backend): z.input<typeof serverRow> {
  const { name, config, health, storage = null, admin, connections, slots, weight } = server;
  return {
    name,
    address: formatEndpoint(config.address),
    up: health.up,
    since: new Date(health.since).toISOString(),
    reason: health.reason,
    storage: storage && (storage.known ? 'known' : 'unknown'),
    storageReason: storage?.known === false ? storage.reason : '',
    state: admin,
    usable: server.usable,
    weight,
    backup: config.backup,
    connections,
    queue: slots.waiting,
    clients: table?.entriesOf(server) ?? 0,
    bytesIn: server.traffic.in,
    bytesOut: server.traffic.out,
  };
}
