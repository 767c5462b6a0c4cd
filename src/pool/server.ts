import type { HealthCheckConfig, ServerConfig } from '../config/schema.ts';
import type { Endpoint } from '../config/values.ts';
import { freshHealth, HealthMonitor, observe, type Health, type Observation } from './health.ts';
import type { PoolObserver } from './observer.ts';
import { probe, type Probe } from './probe.ts';
import { NameWatch, type Answer, type Lookup } from './resolve.ts';

/** What the operator wants: drain takes no new client, maint takes none at all. */
export type AdminState = 'ready' | 'drain' | 'maint';

export type ServerParts = {
  readonly backend: string;
  readonly name: string;
  readonly config: ServerConfig;
  readonly healthCheck: HealthCheckConfig | false;
  readonly resolveIntervalMs: number;
  readonly observer: PoolObserver;
  readonly probe?: Probe;
  readonly lookup?: Lookup;
};

/** One registry node: where it is, what checks say of it, what the operator wants of it, what it is doing now. */
export class Server {
  readonly backend: string;
  readonly name: string;
  readonly config: ServerConfig;
  readonly admin: AdminState = 'ready';
  health: Health = freshHealth(Date.now());
  /** Open connections. */
  connections = 0;
  /** Bytes relayed since the start: `in` is client to server. */
  readonly traffic = { in: 0, out: 0 };
  /** Seconds since 1970, of the certificate that the last TLS check saw. */
  certificateExpiry: number | undefined;
  lastCheckSeconds: number | undefined;
  readonly #healthCheck: HealthCheckConfig | false;
  readonly #observer: PoolObserver;
  readonly #probe: Probe;
  readonly #names: NameWatch;
  readonly #monitor: HealthMonitor | undefined;
  #addresses: readonly string[] = [];
  #address: string | undefined;

  constructor({ backend, name, config, healthCheck, resolveIntervalMs, observer, ...parts }: ServerParts) {
    this.backend = backend;
    this.name = name;
    this.config = config;
    this.#healthCheck = healthCheck;
    this.#observer = observer;
    this.#probe = parts.probe ?? probe;
    this.#names = new NameWatch(
      config.address.host,
      resolveIntervalMs,
      (answer) => this.#resolved(answer),
      parts.lookup,
    );
    if (healthCheck !== false) this.#monitor = new HealthMonitor(healthCheck, () => this.#check(healthCheck));
  }

  get weight(): number {
    return this.config.weight;
  }

  get usable(): boolean {
    return this.health.up && this.admin !== 'maint' && this.#address !== undefined;
  }

  /** The IP literal and port to connect to now; undefined until the name has resolved. */
  get endpoint(): Endpoint | undefined {
    return this.#address === undefined ? undefined : { host: this.#address, port: this.config.address.port };
  }

  /** Begins to resolve and to check; resolves when the first answer to the name is there. */
  start(): Promise<void> {
    return this.#names.start();
  }

  close(): void {
    this.#names.close();
    this.#monitor?.close();
  }

  /**
   * A client's connection to `host` failed: as good as a failed check, and the next check comes forward. Without checks
   * nothing could bring the server up again, so there it counts for nothing.
   */
  connectFailed(host: string, reason: string): void {
    if (this.#healthCheck === false) return this.#leaveAddress(host);
    this.#observe(this.#healthCheck, host, { ok: false, reason });
    this.#monitor?.wake();
  }

  async #check(config: HealthCheckConfig): Promise<Health> {
    const host = this.#address;
    if (host === undefined) return this.health;
    const startedMs = performance.now();
    const port = config.port === 'same' ? this.config.address.port : config.port;
    const result = await this.#probe({ host, port }, this.config.address.host, config);
    if (result.void) return this.health;
    this.lastCheckSeconds = (performance.now() - startedMs) / 1_000;
    if (result.certificateExpiry !== undefined) this.certificateExpiry = result.certificateExpiry;
    this.#observer.serverChecked(this, result.ok, this.lastCheckSeconds);
    this.#observe(config, host, result);
    return this.health;
  }

  #observe(config: HealthCheckConfig, host: string, seen: Observation): void {
    this.#become(observe(this.health, seen, config, Date.now()));
    if (!seen.ok) this.#leaveAddress(host);
  }

  #become(health: Health): void {
    const before = this.health;
    this.health = health;
    if (before.up !== health.up) this.#observer.serverChanged(this, before);
  }

  /** A name with several addresses goes on to the next where one fails. */
  #leaveAddress(host: string): void {
    if (host !== this.#address || this.#addresses.length < 2) return;
    this.#address = this.#addresses[(this.#addresses.indexOf(host) + 1) % this.#addresses.length];
  }

  /** The last good answer stays in force: a resolver that is away takes no server down. */
  #resolved(answer: Answer): void {
    if ('failure' in answer) {
      if (this.#address !== undefined) return;
      const reason = `${this.config.address.host} does not resolve (${answer.failure})`;
      return this.#become({
        ...this.health,
        up: false,
        fresh: false,
        reason,
        since: this.health.up ? Date.now() : this.health.since,
      });
    }
    const first = this.#address === undefined;
    this.#addresses = answer.addresses;
    // Stays where it is while that is still an answer: a client's pushes belong on one node.
    if (first || !answer.addresses.includes(this.#address ?? '')) this.#address = answer.addresses[0];
    if (!first || this.#address === undefined) return;
    if (this.#monitor) this.#monitor.start();
    else if (!this.health.up) this.#become(freshHealth(Date.now()));
  }
}
