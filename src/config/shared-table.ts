/** `stickTable.shared`: where the table stands that several balancers share, and how it is reached. */
import * as z from 'zod';
import { duration, namedFile, spelled, text, whole, yesNo } from './scalars.ts';
import { parseEndpoint, type Endpoint } from './values.ts';

const REDIS_PORT = 6_379;
/** Short enough that nobody notices a Redis that hangs. */
const TIMEOUT = '80ms';
const TIMEOUT_MS = 80;

/** The parts of a URL that are secret stay in `user` and `password`. */
type RedisUrl = {
  readonly host: Endpoint;
  readonly tls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
};

/** `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` */
export function parseRedisUrl(spelling: string): RedisUrl | undefined {
  const [, scheme, login, place = '', database = '0'] =
    /^(rediss?):\/\/(?:([^@/]*)@)?([^@/]+)(?:\/(\d{1,3})?)?$/.exec(spelling) ?? [];
  const host = parseEndpoint(place) ?? parseEndpoint(`${place}:${REDIS_PORT}`);
  const [user, password] = login === undefined ? [] : decoded(login);
  if (!host || (login !== undefined && password === undefined)) return undefined;
  return { host, tls: scheme === 'rediss', user: user === '' ? undefined : user, password, database: Number(database) };
}

/** Undefined where it is no `[USER]:PASSWORD` with its special letters as %XX. */
function decoded(login: string): [string?, string?] {
  const colon = login.indexOf(':');
  try {
    return colon < 0 ? [] : [decodeURIComponent(login.slice(0, colon)), decodeURIComponent(login.slice(colon + 1))];
  } catch {
    return [];
  }
}

const url = () => spelled('redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS', parseRedisUrl);
const hosts = (what: string) =>
  z
    .array(spelled('HOST:PORT', parseEndpoint))
    .min(1, { error: `expected at least one ${what}` })
    .optional();

const options = z.strictObject({
  url: url().optional().describe('One server: redis://HOST:PORT/DATABASE, rediss:// for TLS'),
  sentinels: hosts('sentinel').describe('HOST:PORT of Sentinels, which say where the master is'),
  master: text().min(1).optional().describe("The master's name at the Sentinels"),
  sentinelUser: text().min(1).optional().describe('Name of an ACL user of the Sentinels'),
  sentinelPassword: text().min(1).optional().describe('Its password, or that of requirepass at the Sentinels'),
  sentinelPasswordFile: namedFile().optional().describe('File whose first line is the password for the Sentinels'),
  nodes: hosts('node').describe('HOST:PORT of some nodes of a Redis Cluster, which name the others'),
  database: whole(0, 999).prefault(0).describe('With sentinels: the number of the database'),
  user: text().min(1).optional().describe('Name of an ACL user'),
  password: text().min(1).optional().describe('Its password, or that of requirepass'),
  passwordFile: namedFile().optional().describe('File whose first line is the password'),
  tls: yesNo().optional().describe('Connect over TLS; true for rediss:// and where ca or cert is given'),
  ca: namedFile()
    .optional()
    .describe('PEM file of the authorities that sign the servers; default: those of the system'),
  cert: namedFile().optional().describe('PEM file of a client certificate, with its chain'),
  key: namedFile().optional().describe('PEM file of its private key, without a passphrase'),
  timeout: duration({ min: '1ms', max: '10s' })
    .prefault(TIMEOUT)
    .describe('How long a connection waits for an answer; the first that has waited so long opens the circuit for all'),
  name: text()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/, { error: 'expected up to 64 letters, digits and _ . : -' })
    .optional()
    .describe('What the other balancers call this one; default: the name of this host and the process ID'),
});

/** Where a shared table is, whichever way it was written. */
export type SharedConfig = Pick<
  z.output<typeof options>,
  'passwordFile' | 'ca' | 'cert' | 'key' | 'name' | 'sentinelUser' | 'sentinelPassword' | 'sentinelPasswordFile'
> & {
  /** `master` is the name at the Sentinels; empty for other kinds. */
  readonly kind: 'server' | 'sentinel' | 'cluster';
  readonly hosts: readonly Endpoint[];
  readonly master: string;
  /** How long a connection waits for an answer, in milliseconds. */
  readonly timeout: number;
  readonly database: number;
  readonly tls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
};

/** An address, or a map; empty or false for none. */
export const sharedTable = () =>
  z.union([z.literal(''), z.literal(false), url(), options]).transform((value): SharedConfig | false => {
    if (value === '' || value === false) return false;
    if ('host' in value) {
      const { host, ...rest } = value;
      return { ...rest, kind: 'server', hosts: [host], master: '', timeout: TIMEOUT_MS };
    }
    const { url: own, sentinels, nodes, master = '', ...rest } = value;
    return {
      ...rest,
      kind: own ? 'server' : sentinels ? 'sentinel' : 'cluster',
      hosts: own ? [own.host] : (sentinels ?? nodes ?? []),
      master,
      database: own?.database ?? rest.database,
      tls: rest.tls ?? (own?.tls === true || rest.ca !== undefined || rest.cert !== undefined),
      user: rest.user ?? own?.user,
      password: rest.password ?? own?.password,
    };
  });
