import * as z from 'zod';
import {
  LONGEST_TIMER,
  LONGEST_EXPIRY,
  LONGEST_KEEP_ALIVE,
  LARGEST_TABLE,
  LEAST_SECRET,
  spelled,
  duration,
  positive,
  zeroOr,
  whole,
  yesNo,
  text,
  namedFile,
  oneOf,
  falseOr,
  bind,
  binds,
  cidrs,
  backendName,
  sourceAddress,
  name,
  hostHeader,
  serverNamePattern,
} from './scalars.ts';
import { sharedTable } from './shared-table.ts';
import { DOCTOR_REPOSITORY, isDoctorRepository, isHost, parseRate, parseServerAddress, parseSize } from './values.ts';

/** More often, an audit would hardly end before the next one begins. */
const LEAST_DOCTOR_MS = 1_000;

const proxyVersion = () =>
  oneOf('none', 'v1', 'v2').describe('Begin with a PROXY protocol header; registries do not understand it');

const prefix = (what: 'client' | 'source') =>
  z
    .strictObject({
      ipv4: whole(1, 32).prefault(32).describe(`Bits of an IPv4 address that make one ${what}`),
      ipv6: whole(1, 128).prefault(64).describe(`Bits of an IPv6 address that make one ${what}`),
    })
    .prefault({})
    .describe('How much of the address counts; a link-local address counts whole');

const frontend = z.strictObject({
  bind: binds().describe(
    'Where clients arrive: one address or a list; "*:443" is IPv4 and IPv6, "unix:/run/berth.sock" a socket; ' +
      'or a map with address and options',
  ),
  backend: backendName().optional().describe('Where connections go; required unless every connection is routed by sni'),
  sni: z
    .record(serverNamePattern(), backendName())
    .prefault({})
    .describe(
      'Route by the TLS server name, read without decrypting: a name, or *.name for one label more, to a backend',
    ),
  prefaceTimeout: positive()
    .prefault('5s')
    .describe('How long a client may take to send a PROXY header or ClientHello where one is awaited'),
  waitForClient: yesNo()
    .prefault(false)
    .describe(
      'Choose and connect no server before the first byte of the client, which TLS and HTTP begin with; ' +
        'a client that leaves without a word is counted, not logged',
    ),
  maxConnections: whole(0, 10_000_000)
    .prefault(0)
    .describe('Connections at one time; 0 = as many as the open-file limit allows'),
  acceptProxy: cidrs()
    .prefault([])
    .describe('Networks whose connections must start with a PROXY v1 or v2 header; others may not send one'),
  allow: cidrs().prefault([]).describe('Networks that may connect, file:PATH for a file of them; empty = everyone'),
  deny: cidrs().prefault([]).describe('Networks that may not connect, file:PATH for a file of them; deny wins'),
  perSource: z
    .strictObject({
      connections: whole(0, 10_000_000).prefault(0).describe('Connections at one time; 0 = no limit'),
      rate: spelled('COUNT/DURATION, such as 20/10s; 0/10s = no limit', parseRate)
        .prefault('0/10s')
        .describe('New connections per window, any of them at once; 0/10s = no limit'),
      prefix: prefix('source'),
    })
    .prefault({})
    .describe('Limits for each source: an IPv4 address or an IPv6 /64, unless prefix says otherwise'),
});

const stickTable = z.strictObject({
  key: oneOf('src').prefault('src').describe('What binds a client to a server: its source address'),
  prefix: prefix('client'),
  size: z
    .union([z.string(), z.number()], { error: 'expected a number of entries, such as 200k' })
    .transform((value, context): number => {
      const size = parseSize(value);
      if (size !== undefined && size >= 1 && size <= (parseSize(LARGEST_TABLE) ?? 0)) return size;
      context.issues.push({
        code: 'custom',
        message: `expected a number of entries from 1 to ${LARGEST_TABLE}, such as 200k`,
        input: value,
      });
      return z.NEVER;
    })
    .prefault('200k')
    .describe('Most entries; 200k = 200 000 and 1m = 1 000 000 (HAProxy counts a k as 1024)'),
  expire: duration({ min: '1ms', max: LONGEST_EXPIRY })
    .prefault('30m')
    .describe("How long a binding outlives the client's last match or last closed connection"),
  failback: oneOf('stay', 'return')
    .prefault('stay')
    .describe('stay with the server a client was moved to, or return to its first once that is up again'),
  shared: sharedTable()
    .prefault('')
    .describe(
      'A table that several balancers share, in Redis 6 or later, or Valkey: redis:// or rediss://, or a map; ' +
        'empty = none',
    ),
  sharedStates: yesNo()
    .prefault(false)
    .describe('With shared: what operators say of a server (drain, maint, ready, weight) counts at each balancer'),
});

const healthCheckTls = z
  .union([
    yesNo(),
    z.strictObject({
      ca: namedFile().optional().describe('PEM file of the authorities that sign the nodes'),
      serverName: spelled('a host name', (value) => (isHost(value) ? value : undefined))
        .optional()
        .describe('Name sent as SNI and looked for in the certificate'),
      verify: yesNo().optional().describe('Refuse a certificate that does not verify; true where ca is given'),
      cert: namedFile()
        .optional()
        .describe('PEM file of a client certificate, with its chain, for nodes that ask for one (http.tls.clientcas)'),
      key: namedFile().optional().describe('PEM file of its private key, without a passphrase'),
    }),
  ])
  .transform((value) => {
    if (value === false) return false;
    const options = value === true ? {} : value;
    return { ...options, verify: options.verify ?? options.ca !== undefined };
  });

const healthCheck = z.strictObject({
  type: oneOf('tcp', 'http', 'registry')
    .prefault('tcp')
    .describe('tcp connects; http asks for path; registry asks GET /v2/, where 200 and 401 are up'),
  storage: z
    .union([
      z.literal(false),
      z.strictObject({
        repository: text()
          .regex(/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/, { error: 'expected a repository name such as library/probe' })
          .describe('Repository whose tag list is asked for; it need not exist'),
        user: text()
          .regex(/^[^:]+$/, { error: 'expected a user name, without a colon' })
          .optional()
          .describe('User for basic authentication'),
        passwordFile: namedFile().optional().describe('File whose first line is the password'),
      }),
    ])
    .prefault(false)
    .describe('registry only: also GET /v2/REPOSITORY/tags/list, which sees a hung or failing storage; /v2/ does not'),
  tls: healthCheckTls.prefault(false).describe('Check over TLS: true, or ca, serverName, verify, cert and key'),
  host: hostHeader()
    .prefault('')
    .describe('http and registry: the Host header; empty = tls.serverName where it is set, else the address'),
  path: text()
    .regex(/^\/[\x21-\x7e]*$/, {
      error: 'expected a path that starts with /, its spaces and letters beyond ASCII as %XX',
    })
    .optional()
    .describe('http only; default /'),
  expect: z
    .array(
      spelled('a status or a range such as 200-399', (value) => {
        const [, from, to] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(value) ?? [];
        const range = { from: Number(from), to: Number(to ?? from) };
        return from !== undefined && range.from <= range.to ? range : undefined;
      }).or(whole(100, 599).transform((status) => ({ from: status, to: status }))),
    )
    .min(1, { error: 'expected at least one status' })
    .optional()
    .describe('http only: statuses that are up; default [200-399]'),
  interval: positive().prefault('2s').describe('Between checks while nothing changes'),
  fastInterval: positive().prefault('500ms').describe('Between checks while a server is changing'),
  timeout: positive().prefault('2s').describe('A check that takes longer has failed'),
  rise: whole(1, 1_000).prefault(2).describe('Good checks in a row that bring a server up'),
  fall: whole(1, 1_000).prefault(3).describe('Failed checks in a row that take a server down'),
  port: z
    .union([z.literal('same'), whole(1, 65_535)], { error: 'expected same or a port' })
    .prefault('same')
    .describe('Another port to check'),
});

const resolveInterval = () => duration({ min: '100ms', max: LONGEST_TIMER });
const serverAddress = () => spelled('HOST:PORT, [IPv6]:PORT, dns:NAME:PORT or srv:NAME', parseServerAddress);

const serverOptions = z.strictObject({
  weight: whole(0, 256).prefault(1).describe('Share of new clients against the other servers; 0 = none'),
  backup: yesNo().prefault(false).describe('Used only when no other server is usable'),
  maxConnections: whole(0, 10_000_000)
    .prefault(0)
    .describe('Connections at one time; further ones wait, at most timeouts.queue; 0 = no limit'),
  slowStart: zeroOr().prefault('0s').describe('How long a recovered server takes to its full share'),
  sendProxy: proxyVersion().optional(),
  resolveInterval: resolveInterval().optional().describe("The backend's resolveInterval for this server"),
});
const standardOptions = serverOptions.parse({});
const server = z.union([
  serverAddress().transform((address) => ({ ...standardOptions, address })),
  serverOptions.extend({
    address: serverAddress().describe(
      'HOST:PORT, resolved again and again; dns:NAME:PORT or srv:NAME, a server for each address; ' +
        'SRV weight and priority are unused',
    ),
  }),
]);

const backend = z.strictObject({
  balance: oneOf('roundrobin', 'leastconn', 'random', 'source')
    .prefault('roundrobin')
    .describe(
      'How a client without a binding is given a server: in turn, fewest connections, best of two drawn, ' +
        'or by a hash of its address',
    ),
  stickTable: falseOr(stickTable).prefault({}).describe('Which server a client keeps; false = no stickiness'),
  healthCheck: falseOr(healthCheck).prefault({}).describe('How servers are checked; false = not at all'),
  onServerDown: oneOf('keep', 'close')
    .prefault('keep')
    .describe('What becomes of the established connections of a server that goes down'),
  retries: whole(0, 100)
    .prefault(3)
    .describe('Connect attempts beyond the first, each on another usable server where there is one'),
  sendProxy: proxyVersion().prefault('none'),
  source: z
    .array(sourceAddress())
    .prefault([])
    .describe(
      'Addresses of this machine to connect to servers from, in turn; if one has no port left for a server, the next',
    ),
  resolveInterval: resolveInterval()
    .prefault('30s')
    .describe('How often the names of servers are resolved again; every 2s while checks of the server fail'),
  servers: z
    .record(name(), server)
    .refine((servers) => Object.keys(servers).length > 0, { error: 'expected at least one server' })
    .describe('NAME: HOST:PORT, or NAME: and a map'),
});

const timeouts = z.strictObject({
  connect: positive().prefault('5s').describe('To a server'),
  idle: positive().prefault('10m').describe('No byte in either direction'),
  halfClosed: positive().prefault('1m').describe('No byte after one side has finished'),
  queue: zeroOr().prefault('5s').describe('Waiting for a server with maxConnections'),
  drain: zeroOr().prefault('30s').describe('On SIGTERM: how long established connections may go on'),
  lameDuck: zeroOr()
    .prefault('0s')
    .describe(
      'On SIGTERM: how long Berth goes on accepting while /readyz is 503 already, so that routers notice first',
    ),
  keepAlive: duration({ min: '0s', max: LONGEST_KEEP_ALIVE })
    .prefault('1m')
    .describe(
      'TCP keepalive to the client and the server of a connection that has been quiet this long: a peer that has ' +
        'vanished is let go 15 s later at most; 0s = off',
    ),
});

const admin = z.strictObject({
  bind: bind().prefault('127.0.0.1:9181').describe('Address; one that is not loopback needs token or tokenFile'),
  token: text()
    .min(LEAST_SECRET, { error: `expected at least ${LEAST_SECRET} characters` })
    .optional()
    .describe('Secret that callers send'),
  tokenFile: namedFile().optional().describe('File that holds it'),
});

/** The admin address of a file without the key `admin`. Where another process has the address, Berth runs without. */
export const STANDARD_ADMIN = admin.parse({});

/** The `admin` key alone, which commands read even from a file that is wrong elsewhere. */
export const adminSchema = z.object({ admin: admin.optional() });

const doctor = z.strictObject({
  interval: zeroOr()
    .refine((ms) => ms === 0 || ms >= LEAST_DOCTOR_MS, { error: 'expected 0s, or at least 1s' })
    .prefault('0s')
    .describe('Between two audits of the nodes, which are what berth doctor does, gently; 0s = none'),
  backend: backendName().optional().describe('Whose nodes; required where there is more than one'),
  name: hostHeader()
    .optional()
    .describe("Public name of the registry, as in docker pull NAME/…; default: that of the backend's health check"),
  ca: namedFile().optional().describe('PEM file of the authorities that clients trust; default: those of this system'),
  user: text()
    .regex(/^[^:]+$/, { error: 'expected a user name, without a colon' })
    .optional()
    .describe('User that may push and pull; without one, only what strangers see is audited'),
  passwordFile: namedFile().optional().describe('File whose first line is the password'),
  repository: spelled('a repository name such as berth-doctor/probe', (value) =>
    isDoctorRepository(value) ? value : undefined,
  )
    .prefault(DOCTOR_REPOSITORY)
    .describe('Where uploads begin, which are given up again'),
  write: yesNo().prefault(false).describe('Also store a blob of some bytes on each node, and delete it again'),
});

/** Of `log.level`, from the most lines to none. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** balancer.yml: every key, default and description. Types, checks, JSON Schema and the reference come from here. */
export const schema = z.strictObject({
  frontends: z
    .record(name(), frontend)
    .refine((all) => Object.keys(all).length > 0, { error: 'expected at least one frontend' })
    .describe('Where clients arrive'),
  backends: z
    .record(name(), backend)
    .refine((all) => Object.keys(all).length > 0, { error: 'expected at least one backend' })
    .describe('Groups of servers, each with a balancing policy and a stick table'),
  timeouts: timeouts.prefault({}).describe('How long each phase of a connection may take'),
  metrics: z
    .strictObject({ bind: bind().prefault('*:9180').describe('Address') })
    .prefault({})
    .describe('GET /metrics, /healthz and /readyz'),
  admin: admin
    .optional()
    .describe('The API that berth status, drain, maint, ready, explain and reload talk to; left out: 127.0.0.1:9181'),
  state: z
    .strictObject({
      file: text().prefault('').describe('Where bindings and admin states survive a restart; empty = they do not'),
      interval: positive().prefault('30s').describe('Between two writes of the file'),
    })
    .prefault({})
    .describe('What survives a restart'),
  log: z
    .strictObject({
      level: oneOf(...LOG_LEVELS)
        .prefault('info')
        .describe('Least level'),
      connections: z
        .union([z.boolean(), z.literal('sessions')], { error: 'expected true, false or sessions' })
        .prefault(true)
        .describe(
          'One line a connection, at its end, and one a session, when its client is quiet; sessions = these alone; ' +
            'false = neither',
        ),
      format: oneOf('auto', 'json', 'pretty')
        .prefault('auto')
        .describe('json, or pretty for people to read; auto: pretty at a terminal, else json'),
    })
    .prefault({})
    .describe('Lines on standard output'),
  doctor: doctor.prefault({}).describe('berth doctor again and again, as metrics and events'),
});

export type Config = z.output<typeof schema>;
export type FrontendConfig = Config['frontends'][string];
export type BackendConfig = Config['backends'][string];
export type ServerConfig = BackendConfig['servers'][string];
export type StickTableConfig = Exclude<BackendConfig['stickTable'], false>;
export type HealthCheckConfig = Exclude<BackendConfig['healthCheck'], false>;
export type AdminConfig = z.output<typeof admin>;
export type Timeouts = Config['timeouts'];

/** The JSON Schema of balancer.yml (draft 2020-12), for editors. */
export function jsonSchema(): Record<string, unknown> {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema: part }) => {
      // In a map of keys, those that begin with x- are the operator's own.
      if (part.additionalProperties === false) part.patternProperties = { '^x-': {} };
    },
  });
  return { title: 'balancer.yml', ...json };
}
