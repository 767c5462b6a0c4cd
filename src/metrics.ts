import { collectDefaultMetrics, Registry, type Metric } from 'prom-client';
import type { Counts } from './counts.ts';
import { doctorMetrics } from './doctor-metrics.ts';
import type { Outlet } from './outlet.ts';
import type { Backend } from './pool/backend.ts';
import { takers } from './pool/choose.ts';
import type { Named } from './pool/named.ts';
import { ADMIN_STATES } from './pool/said.ts';
import type { Server } from './pool/server.ts';
import { histogram, labelled, type Labels, type Read, type Sample } from './samples.ts';
import { sessionMetrics } from './session-metrics.ts';
import { sharedMetrics } from './shared-metrics.ts';
import { version } from './version.ts';
import type { View } from './view.ts';

/**
 * prom-client measures how late the event loop is by a timer of its own, which wakes an idle process 100 times a second
 * at its default, and measures nothing but its period at a long one. So the timer is as good as stopped, what the timer
 * yields is left out, and the time that the loop is active is counted instead, which costs nothing.
 */
const NEVER_MS = 2 ** 31 - 1;

/** The exposition: every sample is read from the living state or from the counts, at each scrape. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #view: View;
  readonly #counts: Counts;

  constructor(view: View, counts: Counts, log: Outlet) {
    this.#view = view;
    this.#counts = counts;
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: NEVER_MS });
    for (const name of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
      this.#registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`);
    // Gauges whose names end in _total, which promtool rightly complains of; to count handles costs a walk of them all.
    for (const name of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`nodejs_active_${name}_total`);
    this.#describeBalancer();
    const dropped = (): Sample[] => [{ labels: {}, value: log.dropped }];
    this.#add('counter', 'log_lines_dropped_total', 'Lines that standard output did not take', dropped);
    this.#describeFrontends();
    this.#describeServers();
    this.#describeBackends();
    this.#describeTables();
    const others = [...sessionMetrics(view, counts), ...sharedMetrics(view, counts), ...doctorMetrics(view)];
    for (const { type, name, help, read } of others) this.#add(type, name, help, read);
  }

  /** The exposition, and its content type. */
  async expose(): Promise<{ type: string; text: string }> {
    this.#view.sweep();
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #describeBalancer(): void {
    const one = (name: string, help: string, value: () => number, labels: Labels = {}): void =>
      this.#add('gauge', name, help, () => [{ labels, value: value() }]);
    one('build_info', 'The version, as labels', () => 1, { version, node: process.version });
    one('config_last_reload_successful', 'Whether the last load succeeded', () => {
      return Number(this.#view.configFile.last.problems.length === 0);
    });
    this.#add(
      'counter',
      'event_loop_active_seconds_total',
      'Time that the event loop was not waiting; its rate is 1 where nothing more can be done',
      () => [{ labels: {}, value: performance.eventLoopUtilization().active / 1_000 }],
    );
    const loadedSeconds = (): number => this.#view.configFile.loadedMs / 1_000;
    one('config_last_reload_success_timestamp_seconds', 'When the configuration in force was loaded', loadedSeconds);
  }

  #describeFrontends(): void {
    const view = this.#view;
    this.#add('gauge', 'frontend_connections', 'Connections open now', () =>
      view.frontends.map(({ name: frontend, connections: value }) => ({ labels: { frontend }, value })),
    );
    this.#add('counter', 'frontend_connections_total', 'Connections accepted, refused ones included', () =>
      view.frontends.map(({ name: frontend, accepted: value }) => ({ labels: { frontend }, value })),
    );
    this.#add('counter', 'frontend_refused_total', 'Connections turned away, by reason', () =>
      view.frontends.flatMap(({ name: frontend }) => labelled(this.#counts.refused(frontend), { frontend }, 'reason')),
    );
  }

  #describeServers(): void {
    const each = (samples: (server: Server, labels: Labels, backend: Backend) => readonly Sample[]): Read => {
      return () =>
        this.#view.backends.flatMap((backend) =>
          backend.servers.flatMap((server) => samples(server, { backend: backend.name, server: server.name }, backend)),
        );
    };
    const one = (read: (server: Server, backend: Backend) => number | undefined): Read =>
      each((server, labels, backend) => {
        const value = read(server, backend);
        return value === undefined ? [] : [{ labels, value }];
      });
    const gauge = (name: string, help: string, read: (server: Server, backend: Backend) => number | undefined): void =>
      this.#add('gauge', `server_${name}`, help, one(read));
    gauge('up', 'Whether checks say that the server is up', ({ health }) => (health.up ? 1 : 0));
    gauge('connections', 'Connections open now', ({ connections }) => connections);
    gauge('queue', 'Connections of bound clients that wait for the server', ({ slots }) => slots.waiting);
    gauge('weight', 'Its share of new clients', ({ weight }) => weight);
    gauge('check_seconds', 'How long the last health check took', ({ lastCheckSeconds }) => lastCheckSeconds);
    gauge('stick_entries', 'Clients that are bound to the server', (server, { table }) => table?.entriesOf(server));
    gauge(
      'busiest_client_connections',
      'Open connections of the client that has most of those bound to the server, as it last came',
      (server, { table }) => table?.crowd.busiest(server),
    );
    gauge(
      'tls_certificate_expiry_timestamp_seconds',
      "When the server's certificate expires, as the last TLS check saw it",
      ({ certificateExpiry }) => certificateExpiry,
    );
    gauge(
      'storage_known',
      'Whether checks can ask for the storage: 0 where their credentials or their token server are at fault',
      ({ storage }) => storage && (storage.known ? 1 : 0),
    );
    this.#add(
      'gauge',
      'server_takes_new',
      'Whether a client that is bound to no server may be given this one now',
      () =>
        this.#view.backends.flatMap(({ name: backend, servers }) => {
          const taking = new Set(takers(servers));
          return servers.map((server) => ({
            labels: { backend, server: server.name },
            value: Number(taking.has(server)),
          }));
        }),
    );
    this.#add(
      'gauge',
      'server_admin_state',
      'What the operator wants of the server: 1 for the state it is in',
      each(({ admin }, labels) =>
        ADMIN_STATES.map((state) => ({ labels: { ...labels, state }, value: admin === state ? 1 : 0 })),
      ),
    );
    const total = (name: string, help: string, read: (server: Server) => number): void =>
      this.#add('counter', `server_${name}_total`, help, one(read));
    total('connections', 'Connections made to the server', ({ traffic }) => traffic.connections);
    total('bytes_in', 'Bytes relayed from clients to the server', ({ traffic }) => traffic.in);
    total('bytes_out', 'Bytes relayed from the server to clients', ({ traffic }) => traffic.out);
    const counts = this.#counts;
    this.#add(
      'counter',
      'server_connect_errors_total',
      'Failed connects, by reason',
      each((server, labels) => labelled(counts.ofServer(server).connectErrors, labels, 'reason')),
    );
    this.#add(
      'counter',
      'server_checks_total',
      'Health checks, by result (passed, failed)',
      each((server, labels) => labelled(counts.ofServer(server).checks, labels, 'result')),
    );
    const seconds = 'server_connect_seconds';
    this.#add(
      'histogram',
      seconds,
      'Time to connect to the server',
      each((server, labels) => histogram(seconds, counts.ofServer(server).connectSeconds, labels)),
    );
  }

  #describeBackends(): void {
    const counts = this.#counts;
    const each = (samples: (backend: Backend, labels: Labels) => readonly Sample[]): Read => {
      return () => this.#view.backends.flatMap((backend) => samples(backend, { backend: backend.name }));
    };
    const add = (type: 'gauge' | 'counter', name: string, help: string, read: (backend: Backend) => number): void =>
      this.#add(
        type,
        `backend_${name}`,
        help,
        each((backend, labels) => [{ labels, value: read(backend) }]),
      );
    const named = (name: string, help: string, read: (name: Named) => number): void =>
      this.#add(
        'gauge',
        `backend_${name}`,
        help,
        each(({ names }, labels) =>
          names.map((one) => ({ labels: { ...labels, server: one.server }, value: read(one) })),
        ),
      );
    this.#add(
      'counter',
      'backend_connections_ended_total',
      "Connections that ended, by HAProxy's termination state",
      each((backend, labels) =>
        [...counts.ofBackend(backend).ended].map(([end, value]) => ({ labels: { ...labels, end }, value })),
      ),
    );
    add('counter', 'redispatches_total', 'Connects that moved to another server after a failure', (backend) => {
      return counts.ofBackend(backend).redispatches;
    });
    add('counter', 'retries_total', 'Connect attempts beyond the first', (one) => counts.ofBackend(one).retries);
    add('gauge', 'queue', 'Connections that wait for whichever server has a place first', ({ waiting }) => waiting);
    add('gauge', 'servers', 'Servers that the backend has', ({ servers }) => servers.length);
    add('gauge', 'servers_taking_new', 'Servers that take unbound clients', ({ servers }) => takers(servers).length);
    named('resolve_servers', 'Servers that the name in a server entry stands for now', ({ servers }) => servers);
    named(
      'resolve_successful',
      'Whether the last look-up of the name in a server entry succeeded; while it does not, the last servers stay',
      ({ failing }) => (failing ? 0 : 1),
    );
    const seconds = 'backend_connection_seconds';
    this.#add(
      'histogram',
      seconds,
      'Life of a connection, from accept to end',
      each((backend, labels) => histogram(seconds, counts.ofBackend(backend).seconds, labels)),
    );
  }

  #describeTables(): void {
    type Table = NonNullable<Backend['table']>;
    const add = (type: 'gauge' | 'counter', name: string, help: string, read: (table: Table) => number): void =>
      this.#add(type, `stick_table_${name}`, help, () =>
        this.#view.backends.flatMap(({ name: backend, table }) =>
          table ? [{ labels: { backend }, value: read(table) }] : [],
        ),
      );
    add('gauge', 'size', 'Most entries of the stick table', ({ size }) => size);
    add('gauge', 'entries', 'Clients that are bound to a server', ({ entries }) => entries);
    add(
      'gauge',
      'crowd_connections',
      'Open connections of the client that has more than half of 100 or more, 0 where there is none',
      ({ crowd }) => crowd.now?.connections ?? 0,
    );
    add('counter', 'hits_total', 'Connections whose client was bound already', ({ hits }) => hits);
    add('counter', 'misses_total', 'Connections whose client was not bound', ({ misses }) => misses);
    add('counter', 'evictions_total', 'Bindings that made room for others', ({ evictions }) => evictions);
    add('counter', 'expirations_total', 'Bindings that ran out', ({ expirations }) => expirations);
    add('counter', 'moves_total', 'Bindings that changed their server', ({ moves }) => moves);
  }

  /** prom-client asks a metric for its samples by `get`, and writes what it is given. */
  #add(type: 'gauge' | 'counter' | 'histogram', suffix: string, help: string, read: Read): void {
    const name = `berth_${suffix}`;
    const metric = { name, type, help, get: async () => ({ name, type, help, values: read() }) };
    this.#registry.registerMetric(metric as unknown as Metric);
  }
}
