/** Berth in front of a cluster of registry nodes, known by its log and its metrics. */
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { Berth } from './berth.ts';
import type { Cluster } from './cluster.ts';
import type { RegistryNode } from './node.ts';
import { SETPRIV } from './processes.ts';
import { settings, type Settings } from './settings.ts';
import { eventually } from './waiting.ts';

/** As the README calls them: whoever watches the demo sees these names in the metrics. */
const FRONTEND = 'https_frontend';
const BACKEND = 'docker_registry';

/** One line of Berth's log about one connection. */
export interface Connection {
  server: string | undefined;
  client: string;
  via: string;
  retries: number;
  in: number;
  out: number;
  end: string;
}

/**
 * The connections that were no use to their client: no server was reached, or something ran out. How the others ended
 * says little: a registry and its clients close TLS at the same moment, and now and then one of them answers the
 * other's farewell with a reset.
 */
export function failed(connections: readonly Connection[]): Connection[] {
  return connections.filter(({ end }) => /^R|[RQC]$/.test(end));
}

/** Each server that one of the connections went to, once, by name. */
export function serversOf(connections: readonly Connection[]): string[] {
  return [...new Set(connections.map(({ server }) => server ?? 'none'))].toSorted((a, b) => a.localeCompare(b));
}

export interface FrontOptions {
  /** Laid over the standard check: GET /v2/ over TLS, verified, often. */
  healthCheck?: Record<string, unknown>;
  /** Further keys of the backend. */
  backend?: Record<string, unknown>;
  /** Default: all of the cluster's. */
  nodes?: readonly Pick<RegistryNode, 'name' | 'endpoint'>[];
  /** Further keys of the file. */
  rest?: object;
  logFile?: string;
}

/** Berth in front of the cluster's nodes for as long as the test lasts. */
export async function frontFor(t: TestContext, cluster: Cluster, options?: FrontOptions): Promise<RegistryBerth> {
  const berth = await startFront(cluster, options);
  t.after(() => berth.terminate());
  return berth;
}

/** Starts Berth in front of the cluster's nodes; it ends before them. Returns when each node has been checked. */
export async function startFront(cluster: Cluster, options: FrontOptions = {}): Promise<RegistryBerth> {
  const { nodes = cluster.nodes, healthCheck = {}, backend = {}, rest = {}, logFile } = options;
  const tls = { ca: cluster.ca, serverName: cluster.names[0] };
  const check = { type: 'registry', tls, interval: '1s', fastInterval: '200ms', ...healthCheck };
  const servers = nodes.map(({ name, endpoint }) => ({ name, address: endpoint }));
  const plain = settings(servers, { healthCheck: check, ...backend }, { timeouts: { drain: '2s' }, ...rest });
  const config = {
    ...plain,
    frontends: { [FRONTEND]: { ...plain.frontends['f'], backend: BACKEND } },
    backends: { [BACKEND]: plain.backends['b'] ?? {} },
  };
  const berth = new RegistryBerth(config, cluster.workspace.dir, logFile);
  cluster.workspace.onClose(async () => void (await berth.terminate()));
  // The frontend itself is left alone, so that the first connection it sees, and binds, is a test's.
  for (const { name } of nodes) await berth.metricReaches('berth_server_checks_total', (checks) => checks > 0, name);
  return berth;
}

export class RegistryBerth extends Berth {
  #seen = 0;

  constructor(config: Settings, within: string, logFile?: string) {
    // The kernel ends it when this process ends in a way that leaves no time for anything, as by SIGKILL.
    const through = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL'] : [];
    super(config, { within, through, ...(logFile !== undefined && { logFile }) });
  }

  override port(frontend = FRONTEND): Promise<number> {
    return super.port(frontend);
  }

  async metricsUrl(): Promise<string> {
    const { address } = await this.line(({ msg }) => msg === 'metrics listening');
    return `http://${String(address)}/metrics`;
  }

  /** The sum of a metric's series, or one server's. */
  async sum(name: string, server?: string): Promise<number> {
    const { text } = await this.get('/metrics');
    const labels = server === undefined ? '(?:\\{.*\\})?' : `\\{.*server="${server}".*\\}`;
    const series = text.matchAll(new RegExp(`^${name}${labels} (\\S+)$`, 'gm'));
    return [...series].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** Reads the metric again and again until its sum is good. */
  async metricReaches(name: string, good: (sum: number) => boolean, server?: string): Promise<void> {
    let sum = NaN;
    await eventually(
      () => `${name}, which is ${sum}`,
      async () => good((sum = await this.sum(name, server))),
    );
  }

  /** The connections that ended since the last call, as soon as the log tells of every one that was accepted. */
  async newConnections(): Promise<Connection[]> {
    await this.metricReaches('berth_frontend_connections', (open) => open === 0);
    const all = await this.connections(await this.sum('berth_frontend_connections_total'));
    const fresh = all.slice(this.#seen);
    this.#seen = all.length;
    return fresh as unknown as Connection[];
  }

  /** SIGTERM, then wait: the exit code, or the signal that ended it. */
  async terminate(): Promise<number | NodeJS.Signals> {
    this.signal('SIGTERM');
    return this.exited;
  }
}
