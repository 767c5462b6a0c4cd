import { MetricsServer } from './admin/metrics-server.ts';
import type { Config } from './config/schema.ts';
import { StartError } from './errors.ts';
import { openLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { Backend } from './pool/backend.ts';
import { RelayBuffers } from './proxy/buffers.ts';
import { connectionCapacity, openFileLimit, openFiles } from './proxy/descriptors.ts';
import { Frontend, type Capacity } from './proxy/frontend.ts';
import { eventSockets, onreadSockets, probeOnread, type Sockets } from './proxy/sockets.ts';
import { reports } from './reports.ts';
import { version } from './version.ts';

/** Idle connections are looked for this often, or more often where a timeout is short. */
const SWEEP_MS = 1_000;

/** The composition root: makes the parts, joins them, starts and stops them. */
export class Balancer {
  readonly #config: Config;
  readonly #log: Log;
  readonly #backends: readonly Backend[];
  readonly #frontends: readonly Frontend[];
  readonly #capacity: Capacity = { most: 0, open: 0 };
  readonly #metricsServer: MetricsServer;
  #sweep: NodeJS.Timeout | undefined;
  #stage: 'starting' | 'running' | 'draining' = 'starting';
  #stopping: Promise<void> | undefined;

  constructor(config: Config, log: Log, sockets: Sockets) {
    this.#config = config;
    this.#log = log;
    const observer = reports(log, config.log.connections, () => metrics);
    const backends = new Map(
      Object.entries(config.backends).map(([name, backend]) => [name, new Backend(name, backend, observer)]),
    );
    const shared = {
      timeouts: config.timeouts,
      capacity: this.#capacity,
      buffers: new RelayBuffers(),
      sockets,
      observer,
    };
    this.#frontends = Object.entries(config.frontends).map(([name, frontend]) => {
      const backend = backends.get(frontend.backend ?? '');
      // The configuration was checked for it.
      if (!backend) throw new TypeError(`frontend ${name} names no backend`);
      return new Frontend({ ...shared, name, config: frontend, backend });
    });
    this.#backends = [...backends.values()];
    const metrics: Metrics = new Metrics({
      frontends: this.#frontends,
      backends: this.#backends,
      count: () => this.#sweepConnections(),
    });
    this.#metricsServer = new MetricsServer({
      metrics: async () => ({ type: metrics.registry.contentType, text: await metrics.registry.metrics() }),
      notReady: () => this.#notReady(),
    });
  }

  /** Rejects with a StartError where a port or a limit stands in the way; nothing goes on running then. */
  async start(): Promise<void> {
    try {
      const metrics = await this.#metricsServer.listen(this.#config.metrics.bind);
      this.#log.info({ address: metrics }, 'metrics listening');
      await Promise.all(this.#backends.map((backend) => backend.start()));
      this.#capacity.most = this.#connectionCapacity();
      for (const frontend of this.#stopping ? [] : this.#frontends) {
        for (const address of await frontend.listen())
          this.#log.info({ frontend: frontend.name, address }, 'listening');
      }
    } catch (error) {
      await Promise.all(this.#frontends.map((frontend) => frontend.stopAccepting()));
      this.#close();
      throw error;
    }
    // A signal came while names were being looked up.
    if (this.#stopping) {
      await Promise.all(this.#frontends.map((frontend) => frontend.stopAccepting()));
      return;
    }
    const { idle, halfClosed } = this.#config.timeouts;
    this.#sweep = setInterval(
      () => this.#sweepConnections(),
      Math.min(SWEEP_MS, Math.max(10, Math.min(idle, halfClosed) / 4)),
    );
    this.#stage = 'running';
    this.#log.info({ version, node: process.version, maxConnections: this.#capacity.most }, 'started');
  }

  /**
   * Stops accepting, lets established connections finish within timeouts.drain, and ends. A second call ends at once what
   * the first one waits for.
   */
  stop(reason: string): Promise<void> {
    if (this.#stopping) for (const frontend of this.#frontends) frontend.killAll();
    this.#stopping ??= this.#drain(reason);
    return this.#stopping;
  }

  async #drain(reason: string): Promise<void> {
    this.#stage = 'draining';
    const connections = (): number => this.#frontends.reduce((sum, frontend) => sum + frontend.connections, 0);
    this.#log.info({ reason, connections: connections(), drainMs: this.#config.timeouts.drain }, 'draining');
    await Promise.all(this.#frontends.map((frontend) => frontend.stopAccepting()));
    const timer = setTimeout(() => {
      this.#log.warn({ connections: connections() }, 'drain timed out; the connections that are left are ended');
      for (const frontend of this.#frontends) frontend.killAll();
    }, this.#config.timeouts.drain);
    await Promise.all(this.#frontends.map((frontend) => frontend.empty()));
    clearTimeout(timer);
    this.#close();
    this.#log.info('stopped');
  }

  #close(): void {
    clearInterval(this.#sweep);
    for (const backend of this.#backends) backend.close();
    this.#metricsServer.close();
  }

  #sweepConnections(): void {
    const nowMs = performance.now();
    for (const frontend of this.#frontends) frontend.sweep(nowMs);
  }

  #notReady(): string | undefined {
    if (this.#stage !== 'running') return this.#stage;
    const usable = this.#backends.some(({ servers }) => servers.some((server) => server.usable));
    return usable ? undefined : 'no server is usable';
  }

  #connectionCapacity(): number {
    const limit = openFileLimit();
    const servers = this.#backends.reduce((sum, backend) => sum + backend.servers.length, 0);
    const binds = Object.values(this.#config.frontends).reduce((sum, { bind }) => sum + bind.length, 0);
    const most = connectionCapacity(limit, openFiles() + binds, servers);
    if (most > 0) return most;
    const message = `the open-file limit of ${limit} leaves no room for connections; raise it (ulimit -n, LimitNOFILE=)`;
    throw new StartError('EMFILE', message);
  }
}

/** Runs a balancer until a signal ends it. Resolves to the exit code: 0 after a drain, 1 where it could not start. */
export async function run(config: Config): Promise<number> {
  const log = openLog(config.log);
  const fast = await probeOnread();
  if (!fast) log.warn('this Node cannot read sockets into buffers of ours; relaying the slower way');
  const balancer = new Balancer(config, log, fast ? onreadSockets : eventSockets);
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => void balancer.stop(signal).then(resolve));
    }
  });
  try {
    await balancer.start();
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.fatal({ code: error.code }, error.message);
    await log.close();
    process.stderr.write(`berth: ${error.message}\n`);
    return 1;
  }
  await stopped;
  await log.close();
  return 0;
}
