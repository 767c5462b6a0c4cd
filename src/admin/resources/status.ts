import * as z from 'zod';
import type { Backend } from '../../pool/backend.ts';
import type { Frontend } from '../../proxy/frontend.ts';
import type { DoctorSeen } from '../../rounds.ts';
import { version } from '../../version.ts';
import { STAGES } from '../../view.ts';
import { time } from '../parameters.ts';
import { route, type Reach } from '../route.ts';
import { rowOf, serverRow } from './server-row.ts';

const frontend = z.strictObject({
  name: z.string(),
  addresses: z.array(z.string()).describe('Where it listens'),
  connections: z.int().describe('Open now'),
  connectionsTotal: z.int().describe('Accepted since the start, refused ones included'),
  connectionsPerSecond: z.number().describe('New ones, of about the last ten seconds'),
  refusedTotal: z.int().describe('Turned away since the start'),
});

const named = z.strictObject({
  server: z.string().describe('The entry of the configuration'),
  address: z.string().describe('As it stands there'),
  servers: z.int().describe('How many servers it stands for now'),
  resolves: z.boolean().describe('Whether its last look-up succeeded'),
  since: time().nullable().describe('Since when look-ups fail'),
  reason: z.string().describe('Why the last one failed'),
});

const shared = z.strictObject({
  up: z.boolean().describe('Whether it is reached; where it is not, this balancer decides alone'),
  reason: z.string().describe('Why it is not reached'),
  since: time().nullable().describe('Since when it is so; null before the first attempt has come to an end'),
  name: z.string().describe('What other balancers call this one'),
  answerMs: z.number().nullable().describe('How long the last answer took'),
  states: z.boolean().describe('Whether what operators say of servers is shared, too'),
  pending: z.int().describe('Bindings, and states of servers, that are to be written'),
  conflicts: z.int().describe("Choices that gave way to another balancer's, since the start"),
});

const backend = z.strictObject({
  name: z.string(),
  balance: z.string().describe('How a client without a binding is given a server'),
  queue: z.int().describe('Connections that wait for whichever server has a place first'),
  stickTable: z
    .union([z.literal(false), z.strictObject({ size: z.int(), entries: z.int(), shared: shared.nullable() })])
    .describe('Most and present bindings, and the table that several balancers share; false = not sticky'),
  connections: z.int().describe('Open now, over all servers'),
  clients: z.int().describe('Clients that are bound to a server'),
  bytesInPerSecond: z.number().describe('From clients to all servers, of about the last ten seconds'),
  bytesOutPerSecond: z.number(),
  servers: z.array(serverRow),
  names: z.array(named).describe('Names that stand for servers'),
});

const config = z.strictObject({
  file: z.string(),
  loadedAt: time().describe('When the configuration in force was loaded'),
  lastReload: z.strictObject({
    ok: z.boolean(),
    at: time(),
    problems: z.array(z.string()).describe('What kept the old configuration in force'),
  }),
});

const doctor = z.strictObject({
  backend: z.string(),
  lastRun: time().nullable().describe('When its last round came to an end'),
  skipped: z.string().nullable().describe('Why there was no round since'),
  findings: z.array(
    z.strictObject({
      code: z.string().describe('One of docs/doctor.md'),
      level: z.enum(['FAIL', 'WARN', 'INFO']),
      where: z.string().describe('Nodes that it is about'),
      seen: z.string().describe('What the doctor saw'),
    }),
  ),
});

export const statusRoute = route({
  method: 'GET',
  path: '/status',
  summary: 'What runs: frontends, backends, servers',
  answer: z.strictObject({
    version: z.string(),
    node: z.string(),
    stage: z.enum(STAGES),
    startedAt: time(),
    now: time(),
    pid: z.int(),
    config,
    frontends: z.array(frontend),
    backends: z.array(backend),
    doctor: doctor.nullable().describe('What the rounds of the doctor have found; null = none are configured'),
  }),
})(({ view, counts }) => {
  view.sweep();
  const nowMs = Date.now();
  const { path: file, loadedMs, last } = view.configFile;
  const ok = last.problems.length === 0;
  return {
    version,
    node: process.version,
    stage: view.stage,
    startedAt: iso(performance.timeOrigin),
    now: iso(nowMs),
    pid: process.pid,
    doctor: view.doctor ? seenBy(view.doctor) : null,
    config: { file, loadedAt: iso(loadedMs), lastReload: { ok, at: iso(last.atMs), problems: [...last.problems] } },
    frontends: view.frontends.map((one) => frontendOf(one, { view, counts })),
    backends: view.backends.map((one) => backendOf(one, { view, counts })),
  };
});

type Seen = Pick<Reach, 'view' | 'counts'>;

function frontendOf(of: Frontend, { view, counts }: Seen): z.input<typeof frontend> {
  const { name, connections, accepted } = of;
  return {
    name,
    addresses: [...view.addressesOf(name)],
    connections,
    connectionsTotal: accepted,
    connectionsPerSecond: view.rates.of(of, 'connections'),
    refusedTotal: Object.values(counts.refused(name)).reduce((sum, count) => sum + count, 0),
  };
}

function backendOf(of: Backend, seen: Seen): z.input<typeof backend> {
  const servers = of.servers.map((server) => rowOf(server, of, seen));
  const sum = (key: 'connections' | 'bytesInPerSecond' | 'bytesOutPerSecond'): number =>
    servers.reduce((all, server) => all + server[key], 0);
  return {
    name: of.name,
    balance: of.config.balance,
    queue: of.waiting,
    stickTable: of.table ? { size: of.table.size, entries: of.table.entries, shared: sharedOf(of) } : false,
    connections: sum('connections'),
    clients: of.table?.entries ?? 0,
    bytesInPerSecond: sum('bytesInPerSecond'),
    bytesOutPerSecond: sum('bytesOutPerSecond'),
    servers,
    names: of.names.map(({ server, address, servers: standsFor, failing }) => ({
      server,
      address,
      servers: standsFor,
      resolves: failing === undefined,
      since: failing ? iso(failing.sinceMs) : null,
      reason: failing?.reason ?? '',
    })),
  };
}

function seenBy({ backend: audited, lastRunMs, skipped, findings }: DoctorSeen): z.input<typeof doctor> {
  const lastRun = lastRunMs === undefined ? null : iso(lastRunMs);
  return { backend: audited, lastRun, skipped: skipped ?? null, findings: [...findings] };
}

const iso = (ms: number): string => new Date(ms).toISOString();

function sharedOf({ shared: table }: Backend): z.input<typeof shared> | null {
  if (!table) return null;
  const { state, name, answerMs, states, pending, counts } = table;
  return {
    up: state?.up === true,
    reason: state?.reason ?? '',
    since: state ? new Date(state.sinceMs).toISOString() : null,
    name,
    answerMs: answerMs ?? null,
    states: states !== undefined,
    pending,
    conflicts: counts.conflicts,
  };
}
