import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Backend } from './pool/backend.ts';
import { CONNECT_FAILURES } from './pool/failures.ts';
import { ADMIN_STATES, type Server } from './pool/server.ts';
import { REFUSALS } from './proxy/admission.ts';
import type { ConnectionRecord } from './proxy/observer.ts';
import { version } from './version.ts';

/** What the gauges read when they are asked. */
export type Observed = {
  readonly frontends: readonly { readonly name: string; readonly connections: number; readonly accepted: number }[];
  readonly backends: readonly Backend[];
  /** Brings byte counters up to date. */
  sweep(): void;
};

const CONNECT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const CONNECTION_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200];
const CHECK_RESULTS = ['passed', 'failed'] as const;
const SERVER = ['backend', 'server'] as const;

/** Event counters and histograms; gauges read the living state through `observed` at each scrape. */
export class Metrics {
  readonly registry = new Registry();
  readonly frontendRefused = this.#counter('frontend_refused_total', 'Connections turned away, by reason', [
    'frontend',
    'reason',
  ]);
  readonly serverConnectErrors = this.#counter('server_connect_errors_total', 'Failed connects, by reason', [
    ...SERVER,
    'reason',
  ]);
  readonly serverChecks = this.#counter('server_checks_total', 'Health checks, by result (passed, failed)', [
    ...SERVER,
    'result',
  ]);
  readonly backendEnded = this.#counter(
    'backend_connections_ended_total',
    "Connections that ended, by HAProxy's termination state",
    ['backend', 'end'],
  );
  readonly backendRedispatches = this.#counter(
    'backend_redispatches_total',
    'Connects that moved to another server after a failure',
    ['backend'],
  );
  readonly backendRetries = this.#counter('backend_retries_total', 'Connect attempts beyond the first', ['backend']);
  readonly connectSeconds = this.#histogram(
    'server_connect_seconds',
    'Time to connect to the server',
    SERVER,
    CONNECT_SECONDS,
  );
  readonly connectionSeconds = this.#histogram(
    'backend_connection_seconds',
    'Life of a connection, from accept to end',
    ['backend'],
    CONNECTION_SECONDS,
  );

  readonly #observed: Observed;
  #lastLoad = { ok: true, successMs: Date.now() };

  constructor(observed: Observed) {
    this.#observed = observed;
    collectDefaultMetrics({ register: this.registry });
    // Gauges whose names end in _total, which promtool rightly complains of; counting handles also costs a walk of them all.
    for (const name of ['handles', 'requests', 'resources'])
      this.registry.removeSingleMetric(`nodejs_active_${name}_total`);
    this.#describeServers(observed);
    this.#describeTables(observed);
    this.#gauge('frontend_connections', 'Connections open now', ['frontend'], (set) => {
      for (const { name, connections } of observed.frontends) set([name], connections);
    });
    this.#totals('frontend_connections_total', 'Connections accepted, refused ones included', ['frontend'], (set) => {
      for (const { name, accepted } of observed.frontends) set([name], accepted);
    });
    this.#gauge('build_info', 'The version, as labels', ['version', 'node'], (set) =>
      set([version, process.version], 1),
    );
    this.#gauge('config_last_reload_successful', 'Whether the last load of the configuration succeeded', [], (set) =>
      set([], this.#lastLoad.ok ? 1 : 0),
    );
    this.#gauge(
      'config_last_reload_success_timestamp_seconds',
      'When the configuration in force was loaded',
      [],
      (set) => set([], this.#lastLoad.successMs / 1_000),
    );
  }

  /** The exposition, and its content type. */
  async expose(): Promise<{ type: string; text: string }> {
    this.#observed.sweep();
    return { type: this.registry.contentType, text: await this.registry.metrics() };
  }

  /** A configuration was loaded, or could not be. */
  loaded(ok: boolean): void {
    this.#lastLoad = { ok, successMs: ok ? Date.now() : this.#lastLoad.successMs };
  }

  ended({ backend, end, durationMs }: ConnectionRecord): void {
    if (backend === undefined) return;
    this.backendEnded.inc({ backend, end });
    this.connectionSeconds.observe({ backend }, durationMs / 1_000);
  }

  /** A counter that nothing has happened to yet is 0, not absent: rates and alerts need that. */
  startAtZero(): void {
    const { frontends, backends } = this.#observed;
    for (const { name: frontend } of frontends) {
      for (const reason of REFUSALS) this.frontendRefused.inc({ frontend, reason }, 0);
    }
    for (const { name: backend } of backends) {
      this.backendRetries.inc({ backend }, 0);
      this.backendRedispatches.inc({ backend }, 0);
      this.backendEnded.inc({ backend, end: '--' }, 0);
    }
  }

  /** It is in force from now on. */
  serverCame({ backend, name: server }: Server): void {
    for (const result of CHECK_RESULTS) this.serverChecks.inc({ backend, server, result }, 0);
    for (const reason of CONNECT_FAILURES) this.serverConnectErrors.inc({ backend, server, reason }, 0);
  }

  /** Where addresses come and go with DNS, their series would stay for ever. */
  serverLeft({ backend, name: server }: Server): void {
    this.connectSeconds.remove({ backend, server });
    for (const result of CHECK_RESULTS) this.serverChecks.remove({ backend, server, result });
    for (const reason of CONNECT_FAILURES) this.serverConnectErrors.remove({ backend, server, reason });
  }

  #describeServers(observed: Observed): void {
    const gauge = (name: string, help: string, read: (server: Server, backend: Backend) => number | undefined): void =>
      this.#gauge(name, help, SERVER, (set) => {
        for (const backend of observed.backends) {
          for (const server of backend.servers) {
            const value = read(server, backend);
            if (value !== undefined) set([backend.name, server.name], value);
          }
        }
      });
    gauge('server_up', 'Whether checks say that the server is up', (server) => (server.health.up ? 1 : 0));
    gauge('server_connections', 'Connections open now', (server) => server.connections);
    gauge('server_queue', 'Connections that wait for the server', (server) => server.slots.waiting);
    gauge('server_weight', 'Its share of new clients', (server) => server.weight);
    gauge('server_check_seconds', 'How long the last health check took', (server) => server.lastCheckSeconds);
    gauge('server_stick_entries', 'Clients that are bound to the server', (server, { table }) =>
      table?.entriesOf(server),
    );
    gauge(
      'server_tls_certificate_expiry_timestamp_seconds',
      "When the server's certificate expires, as the last TLS check saw it",
      (server) => server.certificateExpiry,
    );
    this.#gauge(
      'server_admin_state',
      'What the operator wants of the server: 1 for the state it is in',
      [...SERVER, 'state'],
      (set) => {
        for (const { name, servers } of observed.backends) {
          for (const server of servers) {
            for (const state of ADMIN_STATES) set([name, server.name, state], server.admin === state ? 1 : 0);
          }
        }
      },
    );
    const total = (name: string, help: string, read: (server: Server) => number): void =>
      this.#totals(name, help, SERVER, (set) => {
        for (const backend of observed.backends) {
          for (const server of backend.servers) set([backend.name, server.name], read(server));
        }
      });
    total('server_connections_total', 'Connections made to the server', (server) => server.traffic.connections);
    total('server_bytes_in_total', 'Bytes relayed from clients to the server', (server) => server.traffic.in);
    total('server_bytes_out_total', 'Bytes relayed from the server to clients', (server) => server.traffic.out);
  }

  #describeTables(observed: Observed): void {
    type Table = NonNullable<Backend['table']>;
    const each = (read: (table: Table) => number) => (set: (labels: string[], value: number) => void) => {
      for (const { name, table } of observed.backends) if (table) set([name], read(table));
    };
    this.#gauge(
      'stick_table_size',
      'Most entries of the stick table',
      ['backend'],
      each((table) => table.size),
    );
    this.#gauge(
      'stick_table_entries',
      'Clients that are bound to a server',
      ['backend'],
      each((table) => table.entries),
    );
    const total = (what: 'hits' | 'misses' | 'evictions' | 'expirations' | 'moves', help: string): void =>
      this.#totals(
        `stick_table_${what}_total`,
        help,
        ['backend'],
        each((table) => table[what]),
      );
    total('hits', 'Connections whose client was bound already');
    total('misses', 'Connections whose client was not bound');
    total('evictions', 'Bindings that made room for others');
    total('expirations', 'Bindings that ran out');
    total('moves', 'Bindings that changed their server');
  }

  #counter<const L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name: `berth_${name}`, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #histogram<const L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ): Histogram<L> {
    return new Histogram({
      name: `berth_${name}`,
      help,
      labelNames: [...labelNames],
      buckets,
      registers: [this.registry],
    });
  }

  #gauge(name: string, help: string, labelNames: readonly string[], read: Read): void {
    const gauge = new Gauge({
      name: `berth_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        read((labels, value) => this.labels(...labels).set(value));
      },
    });
    this.registry.registerMetric(gauge);
  }

  /** A counter whose total is kept where it is counted, and read at each scrape. */
  #totals(name: string, help: string, labelNames: readonly string[], read: Read): void {
    const counter = new Counter({
      name: `berth_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        read((labels, value) => this.labels(...labels).inc(value));
      },
    });
    this.registry.registerMetric(counter);
  }
}

type Read = (set: (labels: string[], value: number) => void) => void;
