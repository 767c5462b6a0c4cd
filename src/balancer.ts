import { Addresses, type OpenedAddresses } from './addresses.ts';
import type { Config, FrontendConfig } from './config/schema.ts';
import { bindKey } from './config/values.ts';
import { Control, type Running } from './control.ts';
import { StartError } from './errors.ts';
import { InheritedSockets, Listeners } from './listen.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { Backend } from './pool/backend.ts';
import { RelayBuffers } from './proxy/buffers.ts';
import { connectionCapacity, openFiles } from './proxy/descriptors.ts';
import { routesOf } from './proxy/admission.ts';
import { discard, Frontend, type Capacity, type Opened } from './proxy/frontend.ts';
import type { Sockets } from './proxy/sockets.ts';
import { checkStateFile, restoreState, StateKeeper } from './state.ts';
import { reports, type Reports } from './reports.ts';
import { version } from './version.ts';

/** Idle connections are looked for this often, or more often where a timeout is short. */
const SWEEP_MS = 1_000;

/** What is opened for a configuration before it is in force. */
type Opening = {
  addresses: OpenedAddresses | undefined;
  readonly listeners: Map<Frontend, Opened>;
  /** Connections that fit. */
  capacity: number;
};

/** The composition root: makes the parts, joins them, starts, reloads and stops them. */
export class Balancer implements Running {
  readonly #log: Log;
  readonly #sockets: Sockets;
  readonly #buffers = new RelayBuffers();
  readonly #inherited = new InheritedSockets();
  readonly #listeners = new Listeners();
  readonly #capacity: Capacity = { most: 0, open: 0 };
  readonly #observer: Reports;
  readonly #metrics: Metrics;
  readonly #addresses: Addresses;
  readonly #state: StateKeeper;
  #config: Config;
  #backends = new Map<string, Backend>();
  #frontends = new Map<string, Frontend>();
  /** What was open when it started, but for frontends and connections. */
  #otherFiles: number | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #swapped: Promise<void> = Promise.resolve();
  #stage: 'starting' | 'running' | 'draining' = 'starting';
  #stopping: Promise<void> | undefined;

  constructor(config: Config, log: Log, sockets: Sockets, reload: () => Promise<readonly string[]>) {
    this.#config = config;
    this.#log = log;
    this.#sockets = sockets;
    this.#observer = reports(log, {
      logConnections: () => this.#config.log.connections,
      metrics: () => this.#metrics,
      serverDown: (server) => {
        if (this.#config.backends[server.backend]?.onServerDown !== 'close') return;
        for (const frontend of this.#frontends.values()) frontend.killOf(server);
      },
    });
    this.#metrics = new Metrics(this);
    const asked = { metrics: () => this.#metrics.expose(), notReady: () => this.#notReady() };
    this.#addresses = new Addresses(asked, new Control(this, reload), log, this.#listeners);
    this.#state = new StateKeeper(
      () => this.backends,
      (stateFile, reason) => log.error({ file: stateFile, reason }, 'state not saved'),
    );
  }

  get backends(): readonly Backend[] {
    return [...this.#backends.values()];
  }

  get frontends(): readonly Frontend[] {
    return [...this.#frontends.values()];
  }

  get stage(): string {
    return this.#stage;
  }

  /** Rejects with a StartError where a port or a limit stands in the way; nothing goes on running then. */
  async start(): Promise<void> {
    try {
      await this.#take(this.#config);
    } catch (error) {
      this.#close();
      if (this.#stopping) return;
      throw error;
    }
    if (this.#stopping) return;
    for (const { fd, name } of this.#inherited.closeRest()) {
      this.#log.warn({ name, fd }, 'no frontend is left for an inherited socket; closed: whoever connects to it waits');
    }
    this.#stage = 'running';
    this.#log.info({ version, node: process.version, maxConnections: this.#capacity.most }, 'started');
  }

  /** Swaps to another configuration. Rejects with a StartError where it cannot be had, and then nothing has changed. */
  async apply(config: Config): Promise<void> {
    await this.#take(config);
  }

  /** A reload is over; `problems` kept the old configuration in force. */
  reloaded(problems: readonly string[]): void {
    this.#metrics.loaded(problems.length === 0);
    if (problems.length === 0) this.#log.info('reloaded');
    else this.#log.error({ problems }, 'reload failed; the old configuration stays in force');
  }

  /**
   * Stops accepting, lets established connections finish within timeouts.drain, and ends. A second call ends at once what
   * the first one waits for.
   */
  stop(reason: string): Promise<void> {
    if (this.#stopping) for (const frontend of this.frontends) frontend.killAll();
    this.#stopping ??= this.#drain(reason);
    return this.#stopping;
  }

  /** Brings the servers' byte counters up to date, and ends what is idle. */
  sweep(): void {
    const nowMs = performance.now();
    for (const frontend of this.frontends) frontend.sweep(nowMs);
  }

  /** First what can fail, beside what runs; then the swap, which cannot. */
  async #take(config: Config): Promise<void> {
    const backends = new Map(
      Object.entries(config.backends).map(([name, backend]) => [
        name,
        this.#backends.get(name) ?? new Backend(name, backend, this.#observer),
      ]),
    );
    const frontends = new Map(
      Object.entries(config.frontends).map(([name, frontend]) => [
        name,
        this.#frontends.get(name) ?? this.#newFrontend(name, frontend, config, backends),
      ]),
    );
    const [kept, fresh] = [[] as Backend[], [] as Backend[]];
    for (const backend of backends.values()) (this.#backends.has(backend.name) ? kept : fresh).push(backend);
    const opened: Opening = { addresses: undefined, listeners: new Map(), capacity: 0 };
    try {
      opened.addresses = await this.#addresses.open(config);
      if (config.state.file !== '') await checkStateFile(config.state.file);
      const prepared = kept.map((backend) => backend.prepare(config.backends[backend.name] ?? backend.config));
      await Promise.all([...prepared, ...fresh.map((backend) => backend.start())]);
      // After the first answers of DNS: bindings to servers that it names come back too.
      if (this.#stage === 'starting') await this.#restore(config, fresh);
      // Not counted again: connections are open then, and one that waits for its server has one descriptor, not two.
      this.#otherFiles ??= openFiles();
      opened.capacity = connectionCapacity(config, this.#otherFiles);
      const leaving = this.#leaving(config);
      for (const [name, frontend] of frontends) {
        opened.listeners.set(frontend, await frontend.open(config.frontends[name]?.bind ?? [], leaving));
      }
      opened.addresses = await this.#addresses.openStandard(opened.addresses, config);
      // A signal came meanwhile.
      if (this.#stopping) throw new StartError('STOPPING', 'it is stopping');
    } catch (error) {
      for (const listeners of opened.listeners.values()) discard(listeners);
      for (const backend of fresh) backend.close();
      for (const backend of kept) backend.forget();
      if (opened.addresses) this.#addresses.discard(opened.addresses);
      throw error;
    }
    this.#swapped = this.#swap(config, backends, frontends, opened);
    await this.#swapped;
  }

  /** The binds that a frontend listens on and is not to listen on any more. */
  #leaving(config: Config): Map<string, Frontend> {
    const leaving = new Map<string, Frontend>();
    for (const [name, frontend] of this.#frontends) {
      const stay = new Set(config.frontends[name]?.bind.map(bindKey));
      for (const key of frontend.binds) if (!stay.has(key)) leaving.set(key, frontend);
    }
    return leaving;
  }

  async #swap(
    config: Config,
    backends: Map<string, Backend>,
    frontends: Map<string, Frontend>,
    opened: Opening,
  ): Promise<void> {
    const [oldBackends, oldFrontends] = [this.#backends, this.#frontends];
    this.#config = config;
    this.#backends = backends;
    this.#capacity.most = opened.capacity;
    this.#log.level = config.log.level;
    for (const [name, backend] of backends) {
      const wanted = config.backends[name];
      if (wanted) backend.apply(wanted);
    }
    this.#frontends = new Map([...oldFrontends, ...frontends]);
    const heard = new Set(this.frontends.flatMap(({ name, addresses }) => addresses.map((one) => `${name} ${one}`)));
    for (const [frontend, listeners] of opened.listeners) frontend.use(listeners);
    if (opened.addresses) this.#addresses.use(opened.addresses, config);
    this.#state.keep(config.state);
    clearInterval(this.#sweep);
    const { idle, halfClosed } = config.timeouts;
    this.#sweep = setInterval(() => this.sweep(), Math.min(SWEEP_MS, Math.max(10, Math.min(idle, halfClosed) / 4)));
    for (const [name, frontend] of frontends) {
      const wanted = config.frontends[name];
      if (!wanted) continue;
      await frontend.apply(wanted, routesOf(wanted, backends), config.timeouts);
      for (const address of frontend.addresses) {
        if (!heard.has(`${name} ${address}`)) this.#log.info({ frontend: name, address }, 'listening');
      }
    }
    for (const [name, backend] of oldBackends) if (backends.get(name) !== backend) backend.close();
    for (const [name, frontend] of oldFrontends) {
      if (frontends.has(name)) continue;
      await frontend.stopAccepting();
      // Its connections go on; it is forgotten with the last of them.
      void frontend.empty().then(() => this.#forget(frontend));
    }
    this.#metrics.startAtZero();
  }

  async #restore({ state: { file } }: Config, backends: readonly Backend[]): Promise<void> {
    if (file === '') return;
    const restored = await restoreState(file, backends);
    if (restored.kind === 'unread') {
      this.#state.spare(file);
      const { reason } = restored;
      this.#log.warn(
        { file, reason },
        'state not read; the file stays as it is, and nothing is saved to it until a restart',
      );
    } else if (restored.kind === 'unreadable') this.#log.warn({ file, reason: restored.reason }, 'state set aside');
    else this.#log.info({ file, ...restored }, 'state');
  }

  /** It may have come back with a reload. */
  #forget(frontend: Frontend): void {
    const { name } = frontend;
    if (this.#config.frontends[name] === undefined && this.#frontends.get(name) === frontend)
      this.#frontends.delete(name);
  }

  #newFrontend(name: string, frontend: FrontendConfig, config: Config, backends: Map<string, Backend>): Frontend {
    return new Frontend({
      name,
      config: frontend,
      routes: routesOf(frontend, backends),
      timeouts: config.timeouts,
      capacity: this.#capacity,
      listeners: this.#listeners,
      inherited: (asked) => this.#inherited.take(asked, Object.keys(config.frontends)),
      buffers: this.#buffers,
      sockets: this.#sockets,
      observer: this.#observer,
    });
  }

  async #drain(reason: string): Promise<void> {
    this.#stage = 'draining';
    // One that has begun opens doors, and they must be closed.
    await this.#swapped;
    const connections = (): number => this.frontends.reduce((sum, frontend) => sum + frontend.connections, 0);
    this.#log.info({ reason, connections: connections(), drainMs: this.#config.timeouts.drain }, 'draining');
    await Promise.all(this.frontends.map((frontend) => frontend.stopAccepting()));
    const timer = setTimeout(() => {
      this.#log.warn({ connections: connections() }, 'drain timed out; the connections that are left are ended');
      for (const frontend of this.frontends) frontend.killAll();
    }, this.#config.timeouts.drain);
    await Promise.all(this.frontends.map((frontend) => frontend.empty()));
    clearTimeout(timer);
    await this.#state.save();
    this.#close();
    this.#log.info('stopped');
  }

  #close(): void {
    clearInterval(this.#sweep);
    this.#state.close();
    for (const backend of this.#backends.values()) backend.close();
    this.#addresses.close();
  }

  #notReady(): string | undefined {
    if (this.#stage !== 'running') return this.#stage;
    const usable = this.backends.some(({ servers }) => servers.some((server) => server.usable));
    return usable ? undefined : 'no server is usable';
  }
}
