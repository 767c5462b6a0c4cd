import type { FieldName, FieldValue } from './event-fields.ts';

/** The levels of lines, with pino's numbers. */
export const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
export type Level = keyof typeof LEVELS;

/** A field of an event; with a question mark: it is left out where there is nothing to say. */
type Field = FieldName | `${FieldName}?`;

type Kind<F extends Field = Field> = {
  readonly level: Level;
  /** In words for people; `{field}` stands for the value of a field. */
  readonly msg: string;
  readonly fields: readonly F[];
  /** When it happens, and what it means. */
  readonly description: string;
};

const at =
  (level: Level) =>
  <const F extends Field>(msg: string, fields: readonly F[], description: string): Kind<F> => ({
    level,
    msg,
    fields,
    description,
  });
const [debug, info, warn, error, fatal] = [at('debug'), at('info'), at('warn'), at('error'), at('fatal')];

/**
 * Every event that has a line in the log, by its name: nothing else is ever logged. Names are for programs: a name and
 * the meaning of its fields stay as they are.
 */
export const EVENTS = {
  // The process.
  started: info(
    'started',
    ['version', 'node', 'maxConnections'],
    'The configuration is in force and its addresses listen.',
  ),
  start_failed: fatal(
    '{reason}',
    ['code', 'reason'],
    'Something stands in the way of a start. The process ends with the exit code 1.',
  ),
  lame_duck: info(
    'lame duck: accepting, but not ready',
    ['reason', 'connections', 'lameDuckMs'],
    'A signal ends Berth: `/readyz` is 503 from now on, so that routers notice before Berth stops accepting.',
  ),
  draining: info(
    'draining',
    ['reason', 'connections', 'drainMs'],
    'Berth accepts nobody any more; established connections may finish.',
  ),
  drain_timed_out: warn(
    'drain timed out; the connections that are left are ended',
    ['connections'],
    '`timeouts.drain` was too short for these connections.',
  ),
  stopped: info('stopped', [], 'The last line of a process that was asked to end.'),
  signal_ignored: warn(
    '{signal} does nothing; SIGHUP and SIGUSR2 reload, SIGTERM, SIGINT and SIGQUIT stop',
    ['signal'],
    'A signal came that means nothing to Berth.',
  ),
  debugger_closed: warn(
    "a SIGUSR1 came before Berth was there and opened Node's debugger; it is closed again",
    [],
    'Nobody can use the debugger any more. Whoever sends SIGUSR1 should not.',
  ),
  relay_slow: warn(
    'this Node cannot read sockets into buffers of ours; relaying the slower way',
    [],
    'Berth does its work, and needs more CPU for it. Another version of Node may do better.',
  ),
  lines_dropped: warn(
    'lines of the log were dropped: standard output took no more',
    ['count'],
    'Whoever reads the log was too slow or stuck. Berth never waits for a reader.',
  ),
  log_level: warn('log level', ['least', 'before'], 'Lines below this level are not written from now on.'),

  // The configuration.
  reloading: debug('reloading', [], 'The file is read again.'),
  reloaded: info('reloaded', [], 'The file was read again and is in force.'),
  reload_failed: error(
    'reload failed; the old configuration stays in force',
    ['problems'],
    'The file has problems, or an address of it cannot be had. Nothing has changed.',
  ),
  reload_refused: warn('no reload', ['stage'], 'Berth is not running yet, or not any more.'),
  source_missing: warn(
    'no address of this machine',
    ['backend', 'source'],
    'A `source` is no address that this machine has now. Connects from it fail.',
  ),

  // Addresses.
  listening: info('listening', ['frontend', 'address'], 'Clients may arrive at this address.'),
  listening_metrics: info('metrics listening', ['address'], 'Where `/metrics`, `/healthz` and `/readyz` are.'),
  listening_admin: info('admin listening', ['address'], 'Where the admin API is.'),
  listening_failed: error(
    '{reason}; Berth tries again and again',
    ['code', 'reason'],
    'Another process took an address in the moment of a reload.',
  ),
  listening_at_last: info(
    'listening at last',
    ['frontend?', 'address'],
    'An address that was taken (`listening_failed`) has come free.',
  ),
  metrics_open: info(
    'everybody who reaches this address can read the metrics; ' +
      'metrics.bind: 127.0.0.1:9180 keeps them on this machine',
    ['address'],
    'The metrics listen where others than this machine may reach them.',
  ),
  admin_missing: warn(
    'no admin address: {reason}. Set admin.bind to have one',
    ['code', 'reason'],
    'Another process has the standard admin address. Berth runs without one.',
  ),
  inherited_closed: warn(
    'no frontend is left for an inherited socket; closed: whoever connects to it waits',
    ['name', 'fd'],
    'systemd has handed over a socket that balancer.yml has no frontend for.',
  ),

  // Servers.
  server_up: info('server up', ['backend', 'server', 'address', 'downMs'], 'Checks say that the server is well again.'),
  server_down: warn(
    'server down',
    ['backend', 'server', 'address', 'reason'],
    'Checks, or connects of clients, say that the server is not well. No client is sent there.',
  ),
  server_state: warn(
    'server state',
    ['backend', 'server', 'state', 'before', 'who?', 'by?', 'since?'],
    'An operator, the state file, or another balancer (`by`), wants something else of the server.',
  ),
  server_weight: warn(
    'server weight',
    ['backend', 'server', 'weight', 'before', 'who?', 'by?', 'since?'],
    "An operator has changed the server's weight, here or at another balancer (`by`).",
  ),
  server_came: debug('server came', ['backend', 'server'], 'A reload or DNS has added the server.'),
  server_left: debug(
    'server left',
    ['backend', 'server', 'connections'],
    'A reload or DNS has taken the server out. Its connections go on.',
  ),
  storage_known: info('storage known', ['backend', 'server'], 'Checks can ask for the storage of the server again.'),
  storage_unknown: warn(
    'storage unknown',
    ['backend', 'server', 'reason'],
    'Checks cannot ask for the storage, for a reason that is not the fault of the server: `/v2/` alone judges it.',
  ),
  name_unresolved: warn(
    'name does not resolve',
    ['backend', 'server', 'address', 'servers', 'reason'],
    'A look-up failed. The servers of the last good answer stay.',
  ),
  name_resolved: warn(
    'name resolves again',
    ['backend', 'server', 'address', 'servers', 'failedMs'],
    'A look-up succeeded after others had failed.',
  ),

  // Clients.
  connection: info(
    'connection',
    [
      ...(['frontend', 'backend?', 'server?', 'client', 'sni?', 'from?', 'via?', 'retries', 'in', 'out'] as const),
      ...(['connectMs?', 'queueMs', 'sharedMs?', 'durationMs', 'end'] as const),
    ],
    'A connection has ended. `log.connections` says whether these lines are written.',
  ),
  session: info(
    'session',
    ['client', 'backend', 'server?', 'moves', 'direction', 'in', 'out', 'connections', 'durationMs', 'since'],
    'A client is quiet for ten seconds after connections that belong together, as those of a `docker push` do. ' +
      'The server is that of its latest connection. `log.connections` says whether these lines are written.',
  ),
  connection_refused: warn(
    'connection refused',
    ['frontend', 'reason', 'client', 'count'],
    'A rule or a limit has turned clients away: at most one line a second for each frontend and reason.',
  ),
  client_crowds: warn(
    'one client has most connections: is it a NAT or a proxy?',
    ['backend', 'client', 'connections', 'of'],
    'All clients behind one address share one server: at most one line an hour for each client.',
  ),

  // The table that several balancers share.
  shared_table_up: info(
    'shared table: connected',
    ['backend', 'downMs?', 'pending'],
    'Clients are agreed on with the other balancers. What was bound meanwhile is written, unless another balancer ' +
      'has bound the client.',
  ),
  shared_table_down: warn(
    'shared table: not reached; connections go on without it',
    ['backend', 'reason'],
    'The stick table of this balancer decides alone. No connection waits, and Berth tries again each second.',
  ),
  shared_states_failed: warn(
    'states of servers are not shared',
    ['backend', 'reason'],
    'The shared table is reached, and does not take states: the right to use hashes is missing, for one.',
  ),

  // The doctor on a timer.
  doctor_finding: warn(
    'doctor finds',
    ['backend', 'code', 'gravity', 'where', 'reason', 'mend'],
    'A round of the doctor has found a fault that the round before had not.',
  ),
  doctor_cleared: info('doctor finds it no longer', ['backend', 'code', 'where'], 'A fault is mended.'),
  doctor_clean: info(
    'doctor finds nothing',
    ['backend', 'nodes', 'durationMs'],
    'The first round without a fault after a start, a round with faults, or a skipped one.',
  ),
  doctor_skipped: info(
    'doctor skipped',
    ['backend', 'reason'],
    'No round, since a server is down or not ready, or for another reason: told once for each reason.',
  ),

  // The state file.
  state_restored: info(
    'state',
    ['file', 'kind', 'bindings', 'states'],
    'What the file said of clients and servers is in force again.',
  ),
  state_none: info('state', ['file', 'kind'], 'There is no state file yet.'),
  state_set_aside: warn(
    'state set aside',
    ['file', 'reason'],
    'The state file is damaged. It is kept under another name, and a new file begun.',
  ),
  state_not_read: warn(
    'state not read; the file stays as it is, and nothing is saved to it until a restart',
    ['file', 'reason'],
    'The system does not let Berth read the state file, or put a damaged one aside.',
  ),
  state_not_saved: error('state not saved', ['file', 'reason'], 'The file could not be written; Berth tries again.'),

  // Operators.
  operator: info(
    'operator',
    ['who', 'method', 'path', 'asked?', 'status', 'reason?'],
    'Somebody has asked the admin API for a change; `reason` says why it was refused.',
  ),
} as const satisfies Record<string, Kind>;

export type EventName = keyof typeof EVENTS;
type NamedIn<N extends EventName> = (typeof EVENTS)[N]['fields'][number];
type Always<F extends Field> = F extends FieldName ? F : never;
type AtTimes<F extends Field> = F extends `${infer Name extends FieldName}?` ? Name : never;

/** What the line of an event says besides its level, time, name and msg. */
export type FieldsOf<N extends EventName> = {
  readonly [F in Always<NamedIn<N>>]: FieldValue<F>;
} & { readonly [F in AtTimes<NamedIn<N>>]?: FieldValue<F> | undefined };
