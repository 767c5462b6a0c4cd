/** What a field of a line holds in JSON. */
export type FieldTypes = {
  readonly text: string;
  readonly number: number;
  readonly texts: readonly string[];
  readonly 'text or number': string | number;
};
type Field = { readonly type: keyof FieldTypes; readonly description: string };

const text = (description: string) => ({ type: 'text', description }) as const;
const number = (description: string) => ({ type: 'number', description }) as const;
const texts = (description: string) => ({ type: 'texts', description }) as const;
const either = (description: string) => ({ type: 'text or number', description }) as const;

/** The fields of all events: a name means the same in each of them. */
export const FIELDS = {
  address: text('where: IP:PORT, HOST:PORT, [IPv6]:PORT or unix:PATH'),
  asked: text('the body of the request, as JSON'),
  backend: text('its name in balancer.yml'),
  before: either('what was so until now'),
  bindings: number('bindings of clients that were restored'),
  by: text('the balancer that an operator has told; left out where it is this one'),
  client: text(
    'who connected: IP:PORT, or `unix`; where it is about more than one connection, the address or the network ' +
      'that makes one client',
  ),
  code: text('what the system or Berth calls it, for programs'),
  connectMs: number('how long the connect to the server took'),
  connections: number('how many connections'),
  count: number('how many, since the last line that said so'),
  direction: text('which way the bytes went: `push`, `pull` or `idle`'),
  downMs: number('how long the server, or the shared table, was down'),
  drainMs: number('how long established connections may go on'),
  durationMs: number('from the beginning to the end'),
  end: text('how the connection ended, in two letters that [the log](operating.md#the-log) explains'),
  failedMs: number('how long look-ups of the name have failed'),
  fd: number('the file descriptor'),
  file: text('a path'),
  from: text('IP:PORT of Berth towards the server, which the node takes for its client'),
  frontend: text('its name in balancer.yml'),
  gravity: text('`FAIL` or `WARN`, as `berth doctor` has it'),
  in: number('bytes from the client to the server'),
  kind: text('`restored`, or `none` where there was no file'),
  lameDuckMs: number('how long Berth goes on accepting'),
  least: text('the least level of lines that are written'),
  maxConnections: number('connections that fit below the open-file limit'),
  method: text('of the HTTP request'),
  moves: number('how often the client was given another server meanwhile'),
  mend: text('how to mend it'),
  name: text('the name of the inherited socket'),
  node: text('the version of Node'),
  nodes: number('nodes that were looked at'),
  of: number('how many there are in all'),
  out: number('bytes from the server to the client'),
  path: text('of the HTTP request'),
  pending: number('what was bound, or said of servers, without the shared table, and is to be written'),
  problems: texts('what is wrong, each with its place in the file'),
  queueMs: number('how long the client waited for a place at a server'),
  reason: text('why, in words'),
  retries: number('connect attempts beyond the first'),
  server: text('its name in balancer.yml, or NAME/ADDRESS where DNS names the servers'),
  servers: number('how many servers the name stands for'),
  sharedMs: number('how long the client waited for an agreement with other balancers; left out if it did not'),
  signal: text('its name, such as SIGUSR1'),
  since: text('when it began, or was said, in ISO 8601'),
  sni: text('the TLS server name that the client asked for'),
  source: text('the address'),
  stage: text('`starting`, `running`, `lame-duck` or `draining`'),
  state: text('what the operator wants of the server: `ready`, `drain` or `maint`'),
  states: number('states of servers that were restored'),
  status: number('of the HTTP answer'),
  version: text('the version of Berth'),
  via: text('how the server was found: `stuck`, `balanced` or `redispatched`'),
  weight: number("the server's share of new clients"),
  where: text('the nodes that it is about, by the names of their servers'),
  who: text('who asked: an address, or the peer of a unix socket'),
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof FIELDS;
export type FieldValue<F extends FieldName> = FieldTypes[(typeof FIELDS)[F]['type']];
