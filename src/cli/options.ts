/** What the completion of a shell offers for a value: files, names of what runs, or these words. */
export type Completes = 'file' | 'server' | 'backend' | 'command' | 'column' | readonly string[];

export type Option = {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
  readonly completes?: Completes;
};

/** Every option of every command. */
export const OPTIONS = {
  config: {
    type: 'string',
    short: 'c',
    value: 'FILE',
    help: 'configuration file (default: $BERTH_CONFIG, balancer.yml, or /etc/berth/balancer.yml)',
    completes: 'file',
  },
  resolve: { type: 'boolean', help: 'also warn of servers whose names do not resolve' },
  backend: {
    type: 'string',
    value: 'NAME',
    help: 'this backend alone',
    completes: 'backend',
  },
  server: { type: 'string', value: 'B/S', help: 'this server alone, as BACKEND/SERVER', completes: 'server' },
  client: { type: 'string', value: 'IP', help: 'this client alone' },
  all: { type: 'string', value: 'BACKEND', help: 'all bindings of this backend', completes: 'backend' },
  wait: { type: 'boolean', help: 'show what is left, and end when no connection is' },
  max: {
    type: 'string',
    value: 'DURATION',
    help: 'wait this long at most, then exit 1 (default: as long as it takes)',
  },
  only: { type: 'string', value: 'A,B', help: 'these events alone, such as server_down,server_up' },
  recent: { type: 'string', value: 'N', help: 'first the last N events that are kept (default: 10)' },
  sort: {
    type: 'string',
    value: 'COLUMN',
    help: 'the largest of this column first, such as conns or in/s; of a long list the first 20,000',
    completes: 'column',
  },
  watch: { type: 'boolean', help: 'show it again every 2 s, until q or Ctrl-C' },
  name: { type: 'string', value: 'HOST[:PORT]', help: 'public name of the registry, as clients write it (required)' },
  ca: {
    type: 'string',
    value: 'FILE',
    help: "PEM of the authorities that clients trust (default: the system's)",
    completes: 'file',
  },
  user: { type: 'string', value: 'USER', help: 'user for basic authentication' },
  'password-stdin': { type: 'boolean', help: "read the user's password from standard input" },
  repo: { type: 'string', value: 'NAME', help: 'repository to probe in (default: berth-doctor/probe)' },
  write: { type: 'boolean', help: 'also store a small blob on each node, and delete it again' },
  patient: { type: 'boolean', help: 'wait 35 s instead of 4 s for a storage that lags' },
  debug: { type: 'string', value: 'HOST:PORT,…', help: "the nodes' debug addresses (http.debug.addr)" },
  report: {
    type: 'string',
    value: 'FILE.md',
    help: 'also write the report of import to a file',
    completes: 'file',
  },
  table: {
    type: 'string',
    value: 'DUMP',
    help: "HAProxy's `show table NAME`, to become a state file: no client moves",
    completes: 'file',
  },
  state: {
    type: 'string',
    value: 'FILE',
    help: 'the state file that import --table writes (default: berth.state), or that table --haproxy reads',
    completes: 'file',
  },
  haproxy: { type: 'boolean', help: "print lines that bind the clients in HAProxy's table" },
  ids: {
    type: 'string',
    value: 'DUMP',
    help: "HAProxy's `show servers state`, where the servers are in another order or have other names",
    completes: 'file',
  },
  output: {
    type: 'string',
    short: 'o',
    value: 'FILE',
    help: 'write to this file, which must not be there yet (default: standard output)',
    completes: 'file',
  },
  bind: {
    type: 'string',
    value: 'ADDRESS',
    help: "where clients arrive (default: *:443 for TLS, else *: and the servers' port)",
  },
  json: { type: 'boolean', help: 'print the answer as JSON' },
  help: { type: 'boolean', short: 'h', help: 'this text, or that of a command' },
  version: { type: 'boolean', short: 'V', help: 'the version' },
} as const satisfies Record<string, Option>;
export type OptionName = keyof typeof OPTIONS;
