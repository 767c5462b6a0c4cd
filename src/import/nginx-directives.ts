import { carried, lost, meaningless, standard, type Outcome } from './outcome.ts';

function all<const W extends string, O extends Outcome>(words: readonly W[], outcome: O): Record<W, O> {
  return Object.fromEntries(words.map((word) => [word, outcome])) as Record<W, O>;
}

const TUNING = meaningless('of the inside of nginx');
const LOGS = standard('a line of JSON for each connection, on standard output');
const TLS_ENDS = lost('Berth ends no TLS: the servers get what clients send, and need the certificate');
const TLS_BEGINS = lost('Berth begins no TLS: the server gets what clients send');
const ONE_CHECK = standard('each server is checked, and a failed connect counts as a failed check');

/** What a mask of `map` becomes. */
export const ONE_LABEL = carried('`sni`, where `*.` is one label and not several');

/** `stream` and its `server`. */
export const STREAM = {
  listen: carried('`bind`'),
  proxy_pass: carried('`backend`'),
  map: carried('`sni`'),
  ssl_preread: carried('`sni`'),
  preread_timeout: carried('`prefaceTimeout`'),
  allow: carried('`allow`'),
  deny: carried('`deny`'),
  set_real_ip_from: carried('`acceptProxy`, with `listen … proxy_protocol`; others may send no header'),
  limit_conn_zone: carried('`perSource`'),
  limit_conn: carried('`perSource.connections`'),
  proxy_timeout: carried('`timeouts.idle`'),
  proxy_connect_timeout: carried('`timeouts.connect`'),
  proxy_protocol: carried('`sendProxy`'),
  proxy_protocol_timeout: carried('`prefaceTimeout`'),
  proxy_next_upstream: carried('`retries`'),
  proxy_next_upstream_tries: carried('`retries`'),
  proxy_next_upstream_timeout: lost('`retries` are counted'),
  proxy_bind: carried('`source`'),
  ...all(['proxy_upload_rate', 'proxy_download_rate'], lost('Berth slows nobody down')),
  ...all(['proxy_half_close', 'proxy_socket_keepalive', 'tcp_nodelay'], standard('on, on both sides')),
  ...all(['access_log', 'error_log', 'log_format', 'open_log_file_cache', 'limit_conn_log_level'], LOGS),
  limit_conn_dry_run: lost('a limit holds'),
  ...all(['resolver', 'resolver_timeout'], standard("names are asked of the machine's nameservers, again and again")),
  ...all(['proxy_buffer_size', 'preread_buffer_size', 'variables_hash_max_size', 'variables_hash_bucket_size'], TUNING),
  ...all(['map_hash_max_size', 'map_hash_bucket_size', 'status_zone', 'server_name', 'server_names_hash_*'], TUNING),
  ...all(['ssl_*'], TLS_ENDS),
  ...all(['proxy_ssl', 'proxy_ssl_*'], TLS_BEGINS),
  ...all(['proxy_requests', 'proxy_responses'], lost('Berth relays no UDP')),
  ...all(['health_check', 'health_check_timeout', 'match'], ONE_CHECK),
  include: lost('it is not read: give import the output of nginx -T'),
  ...all(
    ['js_*', 'return', 'set', 'pass', 'geo', 'split_clients', 'geoip_*'],
    lost('Berth decides by address and name'),
  ),
} as const satisfies Record<string, Outcome>;

/** `upstream`. */
export const UPSTREAM = {
  server: carried('`servers`'),
  least_conn: carried('`balance: leastconn`'),
  random: carried('`balance: random`'),
  hash: carried('`balance: source`'),
  least_time: lost('`balance` knows no times'),
  zone: TUNING,
  state: lost('the servers stand in balancer.yml'),
  ...all(['resolver', 'resolver_timeout'], standard("names are asked of the machine's nameservers, again and again")),
} as const satisfies Record<string, Outcome>;

/** Parameters of a `server` in `upstream`; those with a value are written `NAME=VALUE`. */
export const UPSTREAM_SERVER = {
  weight: carried('`weight`'),
  max_conns: carried('`maxConnections`'),
  backup: carried('`backup`'),
  down: carried('left out'),
  slow_start: carried('`slowStart`'),
  max_fails: ONE_CHECK,
  fail_timeout: ONE_CHECK,
  resolve: standard('names are resolved again and again'),
  service: lost('write `srv:_SERVICE._tcp.NAME` as its address'),
} as const satisfies Record<string, Outcome>;

/** Parameters of `listen`. */
export const LISTEN = {
  proxy_protocol: carried('`acceptProxy`: the header says who the client is, and not its sender'),
  ipv6only: carried('`bind`'),
  ssl: TLS_ENDS,
  udp: lost('Berth relays no UDP'),
  so_keepalive: carried('`timeouts.keepAlive`'),
  ...all(['reuseport', 'backlog', 'bind', 'deferred', 'fastopen', 'rcvbuf', 'sndbuf', 'default_server'], TUNING),
  multipath: lost('Berth sets no such option of a socket'),
} as const satisfies Record<string, Outcome>;
