import type { Path } from './rules.ts';

/** Words of HAProxy and nginx, `_` written as `-`, with what says the same here. */
const WORDS: Readonly<Record<string, string>> = {
  frontend: 'frontends: NAME: …',
  backend: 'backends: NAME: …',
  listen: 'a frontend with bind, and a backend',
  server: 'servers: NAME: HOST:PORT',
  'default-server': 'said of each server, or of the backend',
  'server-template': 'a server with the address dns:NAME:PORT or srv:NAME',
  'default-backend': 'backend',
  'use-backend': 'sni: { NAME: BACKEND }',
  acl: 'allow, deny and sni',
  'tcp-request': 'allow, deny, acceptProxy and perSource',
  'inspect-delay': 'prefaceTimeout',
  'accept-proxy': 'acceptProxy: [NETWORK]',
  'stick-table': 'stickTable: { size: 200k, expire: 30m }',
  stick: 'stickTable',
  maxconn: 'maxConnections',
  mode: 'not needed: TCP is the only mode',
  'hard-stop-after': 'timeouts: { drain: 30s }',
  redispatch: 'retries, each on another server',
  check: 'healthCheck',
  httpchk: 'healthCheck: { type: http, path: /PATH }',
  'http-check': 'healthCheck: { type: http, path: /PATH }',
  'tcp-check': 'healthCheck: { type: tcp }',
  'check-ssl': 'healthCheck: { tls: true }',
  inter: 'healthCheck: { interval: 2s }',
  fastinter: 'healthCheck: { fastInterval: 500ms }',
  rise: 'healthCheck: { rise: 2 }',
  fall: 'healthCheck: { fall: 3 }',
  slowstart: 'slowStart',
  'send-proxy': 'sendProxy: v1',
  'send-proxy-v2': 'sendProxy: v2',
  'on-marked-down': 'onServerDown: close',
  resolvers: "resolveInterval; names are asked of the machine's nameservers",
  stats: 'metrics and admin',
  global: 'said of each frontend, or in timeouts and log',
  defaults: 'said of each frontend and backend, or in timeouts',
  // nginx
  stream: 'frontends and backends',
  upstream: 'backends: NAME: …',
  'proxy-pass': 'backend',
  'proxy-timeout': 'timeouts: { idle: 10m }',
  'proxy-connect-timeout': 'timeouts: { connect: 5s }',
  'proxy-protocol': 'sendProxy of a backend, or acceptProxy of a frontend',
  'ssl-preread': 'sni: { NAME: BACKEND }',
  'preread-timeout': 'prefaceTimeout',
  'least-conn': 'balance: leastconn',
  hash: 'balance: source',
  'max-conns': 'maxConnections',
  'max-fails': 'healthCheck: { fall: 3 }',
  'fail-timeout': 'healthCheck: { interval: 2s }',
};

const TIMEOUTS: Readonly<Record<string, string>> = {
  client: 'idle',
  server: 'idle',
  tunnel: 'idle',
  'client-fin': 'halfClosed',
  'server-fin': 'halfClosed',
  check: 'healthCheck: { timeout: 2s } of a backend',
};

/** ` HAProxy's or nginx's maxconn is maxConnections here`, with the space before it; empty for another word. */
export function foreignHint(key: string, path: Path): string {
  const word = key
    .toLowerCase()
    .replaceAll('_', '-')
    .replace(/^option[ -]/, '');
  const table = path.at(-1) === 'timeouts' ? TIMEOUTS : WORDS;
  const known = [word, word.split(' ', 1)[0] ?? ''].find((each) => Object.hasOwn(table, each));
  return known === undefined ? '' : ` ${key} of HAProxy or nginx is here: ${table[known]}`;
}

/** The file of another balancer that was given as a balancer.yml; undefined for any other text. */
export function foreignFile(text: string): 'a haproxy.cfg' | 'an nginx.conf' | undefined {
  const section =
    /^[ \t]*(?:global|defaults(?:[ \t]+\S+)*|(?:frontend|backend|listen)[ \t]+[^\s:#;]+)[ \t]*(?:#.*)?\r?$/m;
  const line = /^[ \t]+(?:bind|server|mode|balance|timeout|option|log|maxconn)[ \t]+[^\s:]/m;
  const block = /^[ \t]*(?:stream|http|events|server|upstream[ \t]+\S+)[ \t]*\{[ \t]*(?:#.*)?\r?$/m;
  if (block.test(text) && /;[ \t]*(?:#.*)?\r?$/m.test(text)) return 'an nginx.conf';
  return section.test(text) && line.test(text) ? 'a haproxy.cfg' : undefined;
}
