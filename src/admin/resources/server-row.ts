import * as z from 'zod';
import { formatEndpoint } from '../../config/values.ts';
import type { Backend } from '../../pool/backend.ts';
import { ADMIN_STATES } from '../../pool/said.ts';
import type { Server } from '../../pool/server.ts';
import { time } from '../parameters.ts';
import type { Reach } from '../route.ts';

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
  stateWho: z.string().nullable().describe('Who said so last: an address, or unix; null where nobody is known'),
  stateBy: z.string().nullable().describe('The balancer that was told, where it is another'),
  stateSince: time().nullable().describe('When it was said'),
  usable: z.boolean().describe('Up, and not in maint'),
  weight: z.number().describe('Its share of new clients now'),
  configuredWeight: z.int().describe('Its share as configured'),
  backup: z.boolean().describe('Used only when no other server is usable'),
  connections: z.int().describe('Open now'),
  connectionsTotal: z.int().describe('Made since the start'),
  connectionsPerSecond: z.number().describe('New ones, of about the last ten seconds'),
  queue: z.int().describe('Connections of bound clients that wait for it'),
  clients: z.int().describe('Clients that are bound to it'),
  bytesIn: z.int().describe('From clients to it'),
  bytesOut: z.int().describe('From it to clients'),
  bytesInPerSecond: z.number(),
  bytesOutPerSecond: z.number(),
  connectErrors: z.int().describe('Connects that failed, since the start'),
  connectMs: z.number().nullable().describe('How long the last connects took, on average; null before the first'),
  checkMs: z.number().nullable().describe('How long the last health check took; null where there was none'),
});

export type ServerRow = z.input<typeof serverRow>;

export function rowOf(server: Server, { table }: Backend, { view, counts }: Pick<Reach, 'view' | 'counts'>): ServerRow {
  const { name, config, health, storage = null, admin, connections, slots, weight, traffic } = server;
  const { state: said } = server.said;
  const { connectErrors, connectMs } = counts.ofServer(server);
  const { rates } = view;
  return {
    name,
    address: formatEndpoint(config.address),
    up: health.up,
    since: new Date(health.since).toISOString(),
    reason: health.reason,
    storage: storage && (storage.known ? 'known' : 'unknown'),
    storageReason: storage?.known === false ? storage.reason : '',
    state: admin,
    stateWho: said?.who ? said.who : null,
    stateBy: said?.by ?? null,
    stateSince: said && said.atMs > 0 ? new Date(said.atMs).toISOString() : null,
    usable: server.usable,
    weight: rounded(weight),
    configuredWeight: config.weight,
    backup: config.backup,
    connections,
    connectionsTotal: traffic.connections,
    connectionsPerSecond: rates.of(server, 'connections'),
    queue: slots.waiting,
    clients: table?.entriesOf(server) ?? 0,
    bytesIn: traffic.in,
    bytesOut: traffic.out,
    bytesInPerSecond: rates.of(server, 'in'),
    bytesOutPerSecond: rates.of(server, 'out'),
    connectErrors: Object.values(connectErrors).reduce((sum, count) => sum + count, 0),
    connectMs: connectMs === undefined ? null : rounded(connectMs),
    checkMs: server.lastCheckSeconds === undefined ? null : rounded(1_000 * server.lastCheckSeconds),
  };
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
