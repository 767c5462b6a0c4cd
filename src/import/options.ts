import { carried, lost, meaningless, standard, type Outcome } from './outcome.ts';

/** An option, and how many words follow as its value. */
type Option = Outcome & { readonly takes: number };

function each<const W extends string, O extends Outcome>(words: readonly W[], takes: number, outcome: O) {
  return Object.fromEntries(words.map((word) => [word, { ...outcome, takes }])) as Record<W, O & { takes: number }>;
}
const flag = <O extends Outcome>(outcome: O) => ({ ...outcome, takes: 0 });
const value = <O extends Outcome>(outcome: O) => ({ ...outcome, takes: 1 });

const TLS_ENDS = meaningless('Berth ends no TLS');
const TLS_BEGINS = meaningless('Berth begins no TLS');
const TUNING = meaningless('of the inside of HAProxy');
const AGENT = lost('Berth asks no agents');

/** Options of `bind`. */
export const BIND = {
  'accept-proxy': flag(carried('`acceptProxy`')),
  v4v6: flag(carried('`*` in `bind`')),
  v6only: flag(carried('`[::]` in `bind`')),
  ssl: flag(lost('Berth ends no TLS: the servers get what clients send, and need the certificate')),
  maxconn: value(lost('`maxConnections` is of a frontend, not of a bind')),
  mode: value(carried('`mode` of the bind')),
  group: value(carried('`group` of the bind')),
  gid: value(carried('`group` of the bind')),
  ...each(['user', 'uid'], 1, lost('a unix socket belongs to whom Berth runs as; `group` is for others')),
  ...each(
    ['interface', 'namespace', 'mss', 'tcp-ut', 'tos', 'label'],
    1,
    lost('Berth sets no such option of a socket'),
  ),
  transparent: flag(lost('an address that comes later needs `sysctl net.ipv4.ip_nonlocal_bind=1`')),
  ...each(['accept-netscaler-cip', 'mptcp'], 0, lost('Berth sets no such option of a socket')),
  'defer-accept': flag(carried('`waitForClient`')),
  ...each(['tfo', 'allow-0rtt', 'expose-fd', 'prefer-client-ciphers', 'no-alpn', 'nbconn'], 0, TUNING),
  ...each(['name', 'id', 'nice', 'process', 'thread', 'shards', 'backlog', 'proto', 'level', 'cc'], 1, TUNING),
  ...each(['severity-output', 'quic-socket', 'quic-cc-algo', 'guid-prefix', 'idle-ping'], 1, TUNING),
  ...each(['force-sslv3', 'force-tlsv10', 'force-tlsv11', 'force-tlsv12', 'force-tlsv13', 'no-sslv3'], 0, TLS_ENDS),
  ...each(['no-tlsv10', 'no-tlsv11', 'no-tlsv12', 'no-tlsv13', 'no-tls-tickets', 'strict-sni'], 0, TLS_ENDS),
  ...each(['generate-certificates', 'no-ca-names', 'ssl-no-renegotiation'], 0, TLS_ENDS),
  ...each(['crt', 'crt-list', 'ca-file', 'ca-verify-file', 'ca-ignore-err', 'crt-ignore-err', 'crl-file'], 1, TLS_ENDS),
  ...each(['ciphers', 'ciphersuites', 'curves', 'ecdhe', 'alpn', 'npn', 'verify', 'ssl-min-ver'], 1, TLS_ENDS),
  ...each(['ssl-max-ver', 'tls-ticket-keys', 'ca-sign-file', 'ca-sign-pass', 'sigalgs', 'client-sigalgs'], 1, TLS_ENDS),
  ...each(['default-crt', 'ocsp-update', 'tls-tickets'], 1, TLS_ENDS),
} as const satisfies Record<string, Option>;

/** Options of `unix-bind`. */
export const UNIX_BIND = {
  prefix: carried('`bind`'),
  mode: BIND.mode,
  group: BIND.group,
  gid: BIND.gid,
  user: BIND.user,
  uid: BIND.uid,
} as const satisfies Record<string, Outcome>;

/** Options of `server`, `default-server` and `server-template`. */
export const SERVER = {
  check: flag(carried('`healthCheck`')),
  'no-check': flag(carried('`healthCheck`')),
  inter: value(carried('`healthCheck.interval` and `timeout`')),
  fastinter: value(carried('`healthCheck.fastInterval`')),
  downinter: value(meaningless('a server that is down is checked at `interval`')),
  rise: value(carried('`healthCheck.rise`')),
  fall: value(carried('`healthCheck.fall`')),
  port: value(carried('`healthCheck.port`')),
  addr: value(lost('a check goes to the address of its server')),
  weight: value(carried('`weight`')),
  backup: flag(carried('`backup`')),
  'no-backup': flag(standard('a server is no backup')),
  maxconn: value(carried('`maxConnections`')),
  minconn: value(lost('`maxConnections` is fixed')),
  maxqueue: value(lost('the queue is bounded by `timeouts.queue`')),
  slowstart: value(carried('`slowStart`')),
  'send-proxy': flag(carried('`sendProxy: v1`')),
  'no-send-proxy': flag(carried('`sendProxy: none`')),
  'send-proxy-v2': flag(carried('`sendProxy: v2`')),
  'no-send-proxy-v2': flag(carried('`sendProxy: none`')),
  ...each(['send-proxy-v2-ssl', 'send-proxy-v2-ssl-cn'], 0, carried('`sendProxy: v2`, which says nothing of TLS')),
  'proxy-v2-options': value(lost('`sendProxy: v2` says the addresses alone')),
  'check-send-proxy': flag(standard('checks begin with a PROXY header where `sendProxy` is set')),
  'on-marked-down': value(carried('`onServerDown: close`')),
  'on-marked-up': value(lost('clients of a backup are not cut off; new ones return')),
  'on-error': value(standard('a failed connect counts as a failed check')),
  observe: value(standard('a failed connect counts as a failed check')),
  'error-limit': value(standard('a failed connect counts as a failed check')),
  'check-ssl': flag(carried('`healthCheck.tls`')),
  'no-check-ssl': flag(carried('`healthCheck.tls`')),
  'check-sni': value(carried('`healthCheck.tls.serverName`')),
  'check-alpn': value(standard('checks speak HTTP/1.1')),
  'check-proto': value(standard('checks speak HTTP/1.1')),
  'check-via-socks4': flag(lost('Berth speaks no SOCKS')),
  ssl: flag(lost('Berth begins no TLS: the server gets what clients send')),
  'no-ssl': flag(standard('Berth begins no TLS')),
  verify: value(carried('`healthCheck.tls.verify`')),
  verifyhost: value(carried('`healthCheck.tls.serverName`')),
  'ca-file': value(carried('`healthCheck.tls.ca`')),
  sni: value(carried('`healthCheck.tls.serverName`')),
  crt: value(carried('`healthCheck.tls.cert` and `key`')),
  ...each(['crl-file', 'ciphers', 'ciphersuites', 'ssl-min-ver', 'ssl-max-ver', 'alpn', 'npn'], 1, TLS_BEGINS),
  ...each(['sigalgs', 'client-sigalgs', 'curves'], 1, TLS_BEGINS),
  ...each(['force-tlsv10', 'force-tlsv11', 'force-tlsv12', 'force-tlsv13', 'no-ssl-reuse', 'no-sslv3'], 0, TLS_BEGINS),
  ...each(
    ['no-tlsv10', 'no-tlsv11', 'no-tlsv12', 'no-tlsv13', 'no-tls-tickets', 'ssl-reuse', 'allow-0rtt'],
    0,
    TLS_BEGINS,
  ),
  resolvers: value(standard('names are resolved again and again')),
  'resolve-prefer': value(lost('a name may resolve to either family')),
  'resolve-opts': value(meaningless('`dns:` and `srv:` take every address once, and no weight')),
  'resolve-net': value(lost('every address of the answer is used')),
  'init-addr': value(standard('a name that does not resolve is down, and no refusal to start')),
  disabled: flag(carried('left out')),
  enabled: flag(standard('a server is in use')),
  'non-stick': flag(lost('every server of a backend with `stickTable` binds clients')),
  source: value(carried('`source` of the backend')),
  usesrc: value(lost('servers see the address of Berth; `sendProxy` tells them the client')),
  interface: value(lost('Berth sets no such option of a socket')),
  namespace: value(lost('Berth sets no such option of a socket')),
  'tcp-ut': value(lost('Berth sets no such option of a socket')),
  socks4: value(lost('Berth speaks no SOCKS')),
  track: value(lost('each backend checks its servers itself')),
  ...each(['agent-check', 'no-agent-check'], 0, AGENT),
  ...each(['agent-addr', 'agent-port', 'agent-inter', 'agent-send'], 1, AGENT),
  ...each(['tfo', 'no-tfo', 'set-proxy-v2-tlv-fmt', 'check-reuse-pool', 'no-verifyhost'], 0, TUNING),
  ...each(['id', 'cookie', 'redir', 'proto', 'pool-max-conn', 'pool-purge-delay', 'pool-low-conn', 'guid'], 1, TUNING),
  ...each(['max-reuse', 'ws', 'log-proto', 'log-bufsize', 'hash-key', 'shard', 'cc', 'pool-conn-name'], 1, TUNING),
} as const satisfies Record<string, Option>;
