/** deploy/grafana/dashboards/berth.json: what it shows, and by which queries. */
import type { AnnotationQuery, Dashboard, VariableModel } from '@grafana/schema';
import { format, resolveConfig } from 'prettier';
import { DATASOURCE, rows, series, stat, states, words, type Json, type Query } from './grafana-panels.ts';

export const DASHBOARD = 'deploy/grafana/dashboards/berth.json';

/** The version of the dashboard's model: Grafana brings an older one up to date as it loads it. */
const SCHEMA_VERSION = 41;

/** A metric of the chosen balancers, or of the chosen backends too. */
const own = (metric: string, ...more: readonly string[]): string =>
  `${metric}{${['instance=~"$instance"', ...more].join(', ')}}`;
const of = (metric: string, ...more: readonly string[]): string => own(metric, 'backend=~"$backend"', ...more);
const rate = (selected: string): string => `rate(${selected}[$__rate_interval])`;
const sum = (by: string, what: string): string => `sum by (${by}) (${what})`;
const quantile = (q: number, by: string, buckets: string): string =>
  `histogram_quantile(${q}, ${sum(`${by}, le`, rate(buckets))})`;
const SERVER = 'on (job, instance, backend, server)';

const [GREEN, ORANGE, RED, BLUE, GREY] = ['green', 'orange', 'red', 'blue', 'text'];

const OVERVIEW = [
  stat('Berth', 'Whether Prometheus reaches the metrics address.', [[own('up'), '{{instance}}']], {
    mappings: words({ 0: ['away', RED], 1: ['up', GREEN] }),
  }),
  stat(
    'Servers that take new clients',
    'Servers that a client without a binding may be given: at 0, new clients are reset.',
    [[`min by (backend) (${of('berth_backend_servers_taking_new')})`, '{{backend}}']],
    { steps: [RED, [1, ORANGE], [2, GREEN]] },
  ),
  stat(
    'Alerts',
    'Alerts that fire now. docs/alerts.md says what each of them means.',
    [[`sum(ALERTS{alertname=~"Berth.+", alertstate="firing", instance=~"$instance"}) or vector(0)`, 'firing']],
    { steps: [GREEN, [1, RED]] },
  ),
  stat('Open connections', 'Of all frontends.', [[`sum(${own('berth_frontend_connections')})`, 'open']]),
  stat('Clients', 'Clients that are bound to a server.', [[`sum(${of('berth_stick_table_entries')})`, 'bound']]),
  stat('Sessions', 'Pushes and pulls under way: the connections of one client are one session.', [
    [`sum(${of('berth_sessions')})`, 'under way'],
  ]),
];

const TRAFFIC = [
  series(
    'New connections',
    'Connections that frontends accept, refused ones included.',
    [[sum('frontend', rate(own('berth_frontend_connections_total'))), '{{frontend}}']],
    { unit: 'cps' },
  ),
  series('Open connections', 'By frontend.', [[sum('frontend', own('berth_frontend_connections')), '{{frontend}}']]),
  series(
    'Refused connections',
    'Connections turned away, by reason. client_left and client_silent are probes and clients that said nothing.',
    [[sum('frontend, reason', rate(own('berth_frontend_refused_total'))), '{{frontend}}: {{reason}}']],
    { unit: 'cps' },
  ),
  series(
    'Bytes to servers',
    'From clients to servers: pushes.',
    [[sum('backend, server', rate(of('berth_server_bytes_in_total'))), '{{backend}}/{{server}}']],
    { unit: 'Bps', stacked: true, width: 12 },
  ),
  series(
    'Bytes to clients',
    'From servers to clients: pulls.',
    [[sum('backend, server', rate(of('berth_server_bytes_out_total'))), '{{backend}}/{{server}}']],
    { unit: 'Bps', stacked: true, width: 12 },
  ),
];

const STATE = `${of('berth_server_up')}
  + ${SERVER} 2 * ${of('berth_server_admin_state', 'state="drain"')}
  + ${SERVER} 4 * ${of('berth_server_admin_state', 'state="maint"')}`;

const SERVERS = [
  states(
    'State',
    'What checks say, and what the operator wants.',
    [[`min by (backend, server) (${STATE})`, '{{backend}}/{{server}}']],
    {
      mappings: words({
        0: ['down', RED],
        1: ['up', GREEN],
        2: ['drain, down', ORANGE],
        3: ['drain', BLUE],
        4: ['maint, down', GREY],
        5: ['maint', GREY],
      }),
    },
  ),
  states(
    'Storage',
    'Whether checks can ask for the storage. Only servers whose checks ask for it are here.',
    [[`min by (backend, server) (${of('berth_server_storage_known')})`, '{{backend}}/{{server}}']],
    { mappings: words({ 0: ['unknown', ORANGE], 1: ['known', GREEN] }) },
  ),
  series('Open connections', 'By server.', [
    [sum('backend, server', of('berth_server_connections')), '{{backend}}/{{server}}'],
  ]),
  series(
    'New connections',
    'Connections made to each server.',
    [[sum('backend, server', rate(of('berth_server_connections_total'))), '{{backend}}/{{server}}']],
    { unit: 'cps' },
  ),
  series('Weight', "Each server's share of new clients; it grows over slowStart.", [
    [`min by (backend, server) (${of('berth_server_weight')})`, '{{backend}}/{{server}}'],
  ]),
  series(
    'Health checks: duration',
    'How long the last check took. At healthCheck.timeout the server is down.',
    [[`max by (backend, server) (${of('berth_server_check_seconds')})`, '{{backend}}/{{server}}']],
    { unit: 's', steps: ['transparent', [1, RED]] },
  ),
  series(
    'Health checks: failures',
    'Failed checks.',
    [[sum('backend, server', rate(of('berth_server_checks_total', 'result="failed"'))), '{{backend}}/{{server}}']],
    { unit: 'cps' },
  ),
  stat(
    'Certificates',
    'How long the certificate of each server is good, as TLS checks see it.',
    [
      [
        `min by (backend, server) (${of('berth_server_tls_certificate_expiry_timestamp_seconds')}) - time()`,
        '{{backend}}/{{server}}',
      ],
    ],
    { unit: 's', steps: [RED, [3 * 86_400, ORANGE], [14 * 86_400, GREEN]], width: 8 },
  ),
];

const CLIENTS = [
  series(
    'Clients by server',
    'Clients that are bound to each server.',
    [[sum('backend, server', of('berth_server_stick_entries')), '{{backend}}/{{server}}']],
    { stacked: true },
  ),
  series(
    'Skew: the largest share of clients',
    'The share of clients that the server with most of them holds. With two servers 50% is even.',
    [
      [
        `max by (backend) (${sum('backend, server', of('berth_server_stick_entries'))}
  / on (backend) group_left () ${sum('backend', of('berth_server_stick_entries'))})`,
        '{{backend}}',
      ],
    ],
    { unit: 'percentunit', max: 1, steps: ['transparent', [0.75, ORANGE]] },
  ),
  series(
    'The busiest client of each server',
    'The share of the connections to a server that its busiest client has: many users behind one address, or one that hammers.',
    [
      [
        `max by (backend, server) (${of('berth_server_busiest_client_connections')} / (${of('berth_server_connections')} > 0))`,
        '{{backend}}/{{server}}',
      ],
    ],
    { unit: 'percentunit', steps: ['transparent', [0.5, ORANGE]] },
  ),
  series(
    'Stick table: how full',
    'Above 100% nothing is lost but the bindings of clients that were away longest.',
    [[`max by (backend) (${of('berth_stick_table_entries')} / ${of('berth_stick_table_size')})`, '{{backend}}']],
    { unit: 'percentunit', steps: ['transparent', [0.9, RED]] },
  ),
  series(
    'Stick table: bound or not',
    'Connections whose client was bound already, and whose was not.',
    [
      [sum('backend', rate(of('berth_stick_table_hits_total'))), '{{backend}}: bound'],
      [sum('backend', rate(of('berth_stick_table_misses_total'))), '{{backend}}: not bound'],
    ],
    { unit: 'cps' },
  ),
  series(
    'Stick table: changes',
    'Bindings that moved to another server, ran out, or made room for others.',
    [
      [sum('backend', rate(of('berth_stick_table_moves_total'))), '{{backend}}: moved'],
      [sum('backend', rate(of('berth_stick_table_expirations_total'))), '{{backend}}: ran out'],
      [sum('backend', rate(of('berth_stick_table_evictions_total'))), '{{backend}}: made room'],
    ],
    { unit: 'cps' },
  ),
  series('The client that crowds', 'Connections of the client that has more than half of 100 or more in a backend.', [
    [`max by (backend) (${of('berth_stick_table_crowd_connections')})`, '{{backend}}'],
  ]),
];

const CONNECTS = [
  series(
    'Connect times',
    'Half of the connects, and 95%, take less than this.',
    [0.5, 0.95].map((q): Query => [
      quantile(q, 'backend, server', of('berth_server_connect_seconds_bucket')),
      `{{backend}}/{{server}} ${q * 100}%`,
    ]),
    { unit: 's', steps: ['transparent', [0.5, RED]] },
  ),
  series(
    'Connect errors',
    'Connects that failed, by reason. Each goes on to another server where there is one.',
    [
      [
        sum('backend, server, reason', rate(of('berth_server_connect_errors_total'))),
        '{{backend}}/{{server}}: {{reason}}',
      ],
    ],
    { unit: 'cps' },
  ),
  series(
    'Retries',
    'Connect attempts beyond the first, and those of them that went to another server.',
    [
      [sum('backend', rate(of('berth_backend_retries_total'))), '{{backend}}: retries'],
      [sum('backend', rate(of('berth_backend_redispatches_total'))), '{{backend}}: redispatches'],
    ],
    { unit: 'cps' },
  ),
  series(
    'Queue',
    'Connections that wait: for whichever server has a place first, and bound clients for their own.',
    [
      [sum('backend', of('berth_backend_queue')), '{{backend}}: whichever server is free first'],
      [sum('backend, server', of('berth_server_queue')), '{{backend}}/{{server}}'],
    ],
    { stacked: true },
  ),
  series(
    'Ends',
    "Connections by HAProxy's termination state. C and Q in the second place, with S, s or R in the first, are clients that reached no server.",
    [[sum('backend, end', rate(of('berth_backend_connections_ended_total'))), '{{backend}}: {{end}}']],
    { unit: 'cps' },
  ),
  series(
    'Life of connections',
    'Half of the connections, and 95%, last less than this.',
    [0.5, 0.95].map((q): Query => [
      quantile(q, 'backend', of('berth_backend_connection_seconds_bucket')),
      `{{backend}} ${q * 100}%`,
    ]),
    { unit: 's' },
  ),
];

const SESSIONS = [
  series('Sessions under way', 'Pushes and pulls, by server.', [
    [sum('backend, server', of('berth_sessions')), '{{backend}}/{{server}}'],
  ]),
  series(
    'Sessions that ended',
    'By direction: push, pull, or idle where hardly a byte moved.',
    [[sum('backend, direction', rate(of('berth_session_total'))), '{{backend}}: {{direction}}']],
    { unit: 'cps' },
  ),
  series(
    'Length of sessions',
    'Half of the sessions, and 95%, last less than this.',
    [0.5, 0.95].map((q): Query => [
      quantile(q, 'backend, direction', of('berth_session_seconds_bucket')),
      `{{backend}}: {{direction}} ${q * 100}%`,
    ]),
    { unit: 's' },
  ),
  series(
    'Bytes of pushes',
    'Counted when a session ends.',
    [[sum('backend, server', rate(of('berth_session_bytes_in_total', 'direction="push"'))), '{{backend}}/{{server}}']],
    { unit: 'Bps', stacked: true, width: 12 },
  ),
  series(
    'Bytes of pulls',
    'Counted when a session ends.',
    [[sum('backend, server', rate(of('berth_session_bytes_out_total', 'direction="pull"'))), '{{backend}}/{{server}}']],
    { unit: 'Bps', stacked: true, width: 12 },
  ),
];

const NODES = [
  stat(
    'Findings of the doctor',
    'What the last audit found, by code (docs/doctor.md). Empty where doctor.interval is not set, or nothing was found.',
    [[`max by (backend, code, level) (${of('berth_doctor_findings')})`, '{{backend}}: {{level}} {{code}}']],
    { steps: [GREEN, [1, ORANGE]], width: 8 },
  ),
  stat(
    'Last audit',
    'How long ago the doctor last ran.',
    [[`time() - max by (backend) (${of('berth_doctor_last_run_timestamp_seconds')})`, '{{backend}}']],
    { unit: 's', width: 8 },
  ),
  stat(
    'Servers of a name',
    'For how many servers each name in balancer.yml stands.',
    [[`min by (backend, server) (${of('berth_backend_resolve_servers')})`, '{{backend}}: {{server}}']],
    { steps: [RED, [1, GREEN]], width: 8 },
  ),
  states(
    'Names',
    'Whether the names in balancer.yml resolve. While a name does not, its last servers stay.',
    [[`min by (backend, server) (${of('berth_backend_resolve_successful')})`, '{{backend}}: {{server}}']],
    { mappings: words({ 0: ['fails', RED], 1: ['resolves', GREEN] }), width: 24 },
  ),
];

const PROCESS = [
  series(
    'Event loop',
    'The share of a core that Berth works: at 100% it can do no more.',
    [[rate(own('berth_event_loop_active_seconds_total')), '{{instance}}']],
    { unit: 'percentunit', steps: ['transparent', [0.9, RED]] },
  ),
  series(
    'Memory',
    'What the process has, and what of it JavaScript uses.',
    [
      [own('process_resident_memory_bytes'), '{{instance}}: all'],
      [own('nodejs_heap_size_used_bytes'), '{{instance}}: heap'],
    ],
    { unit: 'bytes' },
  ),
  series(
    'Open files',
    'The share of the open-file limit that is used. At the limit new connections are reset.',
    [[`${own('process_open_fds')} / ${own('process_max_fds')}`, '{{instance}}']],
    { unit: 'percentunit', max: 1, steps: ['transparent', [0.8, RED]] },
  ),
  stat(
    'Version',
    'Of Berth and of Node.',
    [[own('berth_build_info'), '{{instance}}: Berth {{version}}, Node {{node}}']],
    {
      width: 8,
      textMode: 'name',
    },
  ),
  stat(
    'Last reload',
    'Whether the last load of the file succeeded.',
    [[own('berth_config_last_reload_successful'), '{{instance}}']],
    { mappings: words({ 0: ['failed', RED], 1: ['good', GREEN] }) },
  ),
  stat(
    'Configuration',
    'How long the configuration has been in force.',
    [[`time() - ${own('berth_config_last_reload_success_timestamp_seconds')}`, '{{instance}}']],
    { unit: 's' },
  ),
  stat(
    'Uptime',
    'Since the start of the process.',
    [[`time() - ${own('process_start_time_seconds')}`, '{{instance}}']],
    {
      unit: 's',
    },
  ),
  stat(
    'Log lines dropped',
    'In the time that is shown: lines that nobody took.',
    [[`increase(${own('berth_log_lines_dropped_total')}[$__range])`, '{{instance}}']],
    { steps: [GREEN, [1, RED]] },
  ),
];

const choice = (name: string, label: string, query: string): Json<VariableModel> => ({
  type: 'query',
  name,
  label,
  datasource: DATASOURCE,
  query: { query, refId: 'variable' },
  refresh: 2,
  sort: 1,
  includeAll: true,
  multi: true,
  current: { text: ['All'], value: ['$__all'] },
});

const marks = (name: string, expr: string, iconColor: string, title: string): AnnotationQuery =>
  ({
    name,
    datasource: DATASOURCE,
    enable: true,
    hide: false,
    iconColor,
    expr,
    titleFormat: title,
    step: '15s',
  }) as AnnotationQuery;

export const DASHBOARD_MODEL = {
  uid: 'berth',
  title: 'Berth',
  description: 'A registry cluster behind Berth: traffic, servers, clients, sessions.',
  tags: ['berth'],
  schemaVersion: SCHEMA_VERSION,
  editable: true,
  graphTooltip: 1,
  refresh: '30s',
  time: { from: 'now-3h', to: 'now' },
  annotations: {
    list: [
      marks(
        'Reloads',
        `changes(${own('berth_config_last_reload_success_timestamp_seconds')}[1m]) > 0`,
        'blue',
        'reload',
      ),
      marks(
        'Alerts',
        'ALERTS{alertname=~"Berth.+", alertstate="firing", instance=~"$instance"}',
        'red',
        '{{alertname}}',
      ),
    ],
  },
  templating: {
    list: [
      { type: 'datasource', name: 'datasource', label: 'Prometheus', query: 'prometheus', hide: 0 },
      choice('instance', 'Balancer', 'label_values(berth_build_info, instance)'),
      choice('backend', 'Backend', 'label_values(berth_backend_servers{instance=~"$instance"}, backend)'),
    ] as VariableModel[],
  },
  panels: rows({
    Overview: OVERVIEW,
    Traffic: TRAFFIC,
    Servers: SERVERS,
    'Clients and stickiness': CLIENTS,
    'Connects, queue and ends': CONNECTS,
    'Pushes and pulls': SESSIONS,
    'The doctor and names': NODES,
    'The process': PROCESS,
  }),
} satisfies Dashboard;

/** The whole file, as prettier leaves it. */
export async function dashboard(): Promise<string> {
  return format(JSON.stringify(DASHBOARD_MODEL, null, 2), { ...(await resolveConfig(DASHBOARD)), filepath: DASHBOARD });
}
