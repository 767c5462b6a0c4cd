/** One registry node: a docker-registry of its own, with its log. */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificate, CertificateKind } from './certificates.ts';
import { accepts, type Workspace } from './processes.ts';
import type { Program } from './program.ts';

/**
 * One node's settings; null is 'none of it'. Nodes of one cluster agree in all but the port unless a test wants
 * otherwise.
 */
export interface NodeSettings {
  /** null: not set, so that the registry makes up its own. */
  secret: string | null;
  storage: string;
  /** A password file, as `cluster.makeHtpasswd` returns; null: anyone may push. */
  htpasswd: string | null;
  /** null: plain HTTP. */
  certificate: CertificateKind | Certificate | null;
  /** host:port. */
  redis: string | null;
  /** The loopback address it listens on. */
  address: string;
  /** Laid over the registry's own configuration, section by section: `{ http: { host: 'https://elsewhere' } }`. */
  override: Record<string, Record<string, unknown>>;
  /** Run it through another program, such as `['nsenter', …]`. */
  through: readonly string[];
}

/** One line of a node's access log. */
export interface AccessLine {
  remote: string;
  method: string;
  path: string;
  status: number;
  agent: string;
}

/** Where a node lives: what it shares with its fellows. */
export interface Surroundings {
  readonly workspace: Workspace;
  certificate(kind: CertificateKind): Promise<Certificate>;
}

/** One docker-registry; keeps its port over stops and starts. */
export class RegistryNode {
  readonly name: string;
  readonly port: number;
  settings: NodeSettings;
  #around: Surroundings;
  #program: Program | undefined;

  constructor(around: Surroundings, name: string, port: number, settings: NodeSettings) {
    this.#around = around;
    this.name = name;
    this.port = port;
    this.settings = settings;
  }

  get endpoint(): string {
    return `${this.settings.address}:${this.port}`;
  }

  get pid(): number {
    return this.#program?.pid ?? -1;
  }

  get running(): boolean {
    return this.#program?.running ?? false;
  }

  /** Starts it, with changed settings if any, and returns when it accepts connections. */
  async start(changes: Partial<Omit<NodeSettings, 'address'>> = {}): Promise<void> {
    if (this.#program?.running) throw new Error(`${this.name} is already running`);
    this.settings = { ...this.settings, ...changes };
    const { workspace } = this.#around;
    const { certificate, storage, address, through } = this.settings;
    const tls = typeof certificate === 'string' ? await this.#around.certificate(certificate) : certificate;
    const file = join(workspace.dir, `${this.name}.yml`);
    await mkdir(storage, { recursive: true });
    await writeFile(file, JSON.stringify(registryConfig(this.endpoint, this.settings, tls), null, 2)); // JSON is YAML
    const env = { OTEL_TRACES_EXPORTER: 'none' };
    const [command, ...args] = [...through, 'docker-registry', 'serve', file];
    this.#program = workspace.start({ name: this.name, command, args, env });
    const elsewhere = through.some((word) => word.startsWith('--net='));
    // Where it has a network of its own, nobody here can connect to it.
    const says = (): boolean => this.#program?.tail().includes('listening on') === true;
    await this.#program.waitFor(`accepts no connection on ${this.endpoint}`, () =>
      elsewhere ? says() : accepts(this.port, address),
    );
  }

  /** SIGTERM, then wait. */
  async stop(): Promise<void> {
    await this.#program?.stop();
  }

  /** SIGKILL, then wait. */
  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  /** SIGSTOP: connections are still accepted by the kernel, and nothing answers. */
  freeze(): void {
    this.#program?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#program?.signal('SIGCONT');
  }

  /** Of all its runs. */
  log(): string {
    return this.#program?.history() ?? '';
  }

  /** Every request it has answered, health checks included (their agent tells them from a client's). */
  requests(): AccessLine[] {
    const line = /^(\S+) - \S+ \[[^\]]*\] "(\S+) (\S+) [^"]*" (\d+) \d+ "[^"]*" "([^"]*)"$/gm;
    return [...this.log().matchAll(line)].map(([, remote = '', method = '', path = '', status, agent = '']) => {
      return { remote, method, path, status: Number(status), agent };
    });
  }

  /** Bytes of unfinished uploads to that repository. */
  async uploaded(repository: string): Promise<number> {
    const uploads = join(this.settings.storage, 'docker/registry/v2/repositories', repository, '_uploads');
    const names = await readdir(uploads).catch(() => []);
    const sizes = names.map((name) =>
      stat(join(uploads, name, 'data')).then(
        ({ size }) => size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** The connections, each by its other end's ip:port, on which requests of such an agent have come. */
  peers(agent: string): Set<string> {
    const requests = this.#program?.records().filter((record) => {
      return String(record['http.request.useragent']).startsWith(agent);
    });
    return new Set(requests?.map((record) => String(record['http.request.remoteaddr'])));
  }
}

function registryConfig(endpoint: string, settings: NodeSettings, tls: Certificate | null): Record<string, unknown> {
  const { secret, storage, htpasswd, redis, override } = settings;
  const timeouts = { dialtimeout: '100ms', readtimeout: '100ms', writetimeout: '100ms' };
  const sections: Record<string, Record<string, unknown>> = {
    log: { level: 'info', formatter: 'json' },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      ...(redis !== null && { cache: { blobdescriptor: 'redis' } }),
    },
    http: { addr: endpoint, ...(secret !== null && { secret }), ...(tls && { tls }) },
    ...(htpasswd !== null && { auth: { htpasswd: { realm: 'Registry Realm', path: htpasswd } } }),
    ...(redis !== null && { redis: { addr: redis, db: 0, ...timeouts, pool: { maxidle: 16, maxactive: 64 } } }),
    health: { storagedriver: { enabled: true, interval: '10s', threshold: 3 } },
  };
  for (const [name, laid] of Object.entries(override)) sections[name] = { ...sections[name], ...laid };
  return { version: '0.1', ...sections };
}
