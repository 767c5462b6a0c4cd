import { isDeepStrictEqual } from 'node:util';
import type { HealthCheckConfig, StaticServerConfig } from '../config/schema.ts';
import type { Endpoint } from '../config/values.ts';
import { freshHealth, HealthMonitor, observe, type Health, type Observation } from './health.ts';
import type { PoolObserver } from './observer.ts';
import { probe, type Probe } from './probe.ts';
import { Slots } from './slots.ts';
import { NameWatch, type Answer, type Lookup } from './resolve.ts';

/** What the operator wants: drain takes no new client, maint takes none at all. */
export const ADMIN_STATES = ['ready', 'drain', 'maint'] as const;
export type AdminState = (typeof ADMIN_STATES)[number];

/** A server that has just recovered gets some clients, however slowly it starts. */
const SLOWEST_START = 0.01;

export type ServerParts = {
  readonly backend: string;
  readonly name: string;
  readonly config: StaticServerConfig;
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
  config: StaticServerConfig;
  health: Health = freshHealth(Date.now());
  /** Places for connections: those that stand or are being made, and those that wait. */
  readonly slots = new Slots();
  /** Since the start: connections made, and bytes relayed, of which `in` are those from client to server. */
  readonly traffic = { connections: 0, in: 0, out: 0 };
  /** Seconds since 1970, of the certificate that the last TLS check saw. */
  certificateExpiry: number | undefined;
  lastCheckSeconds: number | undefined;
  #healthCheck: HealthCheckConfig | false;
  readonly #observer: PoolObserver;
  readonly #probe: Probe;
  readonly #lookup: Lookup | undefined;
  #resolveIntervalMs: number;
  #names: NameWatch;
  #monitor: HealthMonitor | undefined;
  #retired = false;
  /** Whether what follows is of the configured address: after a change it is of the former one until the name has resolved. */
  #located = false;
  #addresses: readonly string[] = [];
  #address: string | undefined;
  #port: number;
  #admin: AdminState = 'ready';
  /** When it came up again, on the clock of `performance.now`; undefined where it has been up since the start. */
  #recoveredMs: number | undefined;

  constructor({ backend, name, config, healthCheck, resolveIntervalMs, observer, ...parts }: ServerParts) {
    this.backend = backend;
    this.name = name;
    this.config = config;
    this.#healthCheck = healthCheck;
    this.#observer = observer;
    this.#probe = parts.probe ?? probe;
    this.#lookup = parts.lookup;
    this.#resolveIntervalMs = resolveIntervalMs;
    this.#port = config.address.port;
    this.#names = this.#newWatch();
    this.#monitor = this.#newMonitor();
  }

  get admin(): AdminState {
    return this.#admin;
  }

  /** Its share of new clients; after a recovery it grows to the configured one over `slowStart`. */
  get weight(): number {
    const { weight, slowStart } = this.config;
    if (this.#recoveredMs === undefined || slowStart === 0) return weight;
    const share = (performance.now() - this.#recoveredMs) / slowStart;
    return share >= 1 ? weight : weight * Math.max(share, SLOWEST_START);
  }

  get connections(): number {
    return this.slots.taken;
  }

  get usable(): boolean {
    return this.health.up && this.#admin !== 'maint' && this.#address !== undefined && !this.#retired;
  }

  /** Whether a new connection would not have to wait. */
  get hasRoom(): boolean {
    return this.slots.free(this.config.maxConnections);
  }

  /** What the operator wants; connections that stand go on in each state. */
  setAdmin(state: AdminState): void {
    const before = this.#admin;
    if (state === before) return;
    this.#admin = state;
    if (state === 'maint') this.slots.move();
    this.#observer.adminChanged(this, before);
  }

  /** A connection that had a place has ended. */
  releaseSlot(): void {
    this.slots.release(this.config.maxConnections);
  }

  /** The IP literal and port to connect to now; undefined until the name has resolved. */
  get endpoint(): Endpoint | undefined {
    return this.#address === undefined ? undefined : { host: this.#address, port: this.#port };
  }

  /** Begins to resolve and to check; resolves when the first answer to the name is there. */
  start(): Promise<void> {
    return this.#names.start();
  }

  /** Nothing is observed any more: a check that is under way says nothing when it ends. What is on its way here still arrives. */
  close(): void {
    this.#names.close();
    this.#monitor?.close();
    this.#monitor = undefined;
  }

  /** It is no longer configured: its connections go on, new ones go elsewhere. */
  retire(): void {
    this.#retired = true;
    this.close();
    this.slots.move();
  }

  /**
   * Goes on under another configuration: connections, the operator's state and health stay. Where the address is another,
   * connections go to the former one until the new one is known; from then on health is that of a new server.
   */
  apply(config: StaticServerConfig, healthCheck: HealthCheckConfig | false, resolveIntervalMs: number): void {
    const { address } = this.config;
    this.config = config;
    this.slots.grant(config.maxConnections);
    if (!isDeepStrictEqual(healthCheck, this.#healthCheck)) {
      this.#healthCheck = healthCheck;
      this.#checkAnew();
    }
    const moved = !isDeepStrictEqual(config.address, address);
    if (!moved && resolveIntervalMs === this.#resolveIntervalMs) return;
    if (moved) this.#located = false;
    this.#resolveIntervalMs = resolveIntervalMs;
    this.#names.close();
    this.#names = this.#newWatch();
    void this.#names.start();
  }

  /**
   * A client's connection to `host` and `port` failed: as good as a failed check, and the next check comes forward. Without
   * checks nothing could bring the server up again, so there it counts for nothing, as it does where the server has moved.
   */
  connectFailed({ host, port }: Endpoint, reason: string): void {
    if (this.#retired) return;
    if (port !== this.#port || !this.#addresses.includes(host)) return;
    if (this.#healthCheck === false) return this.#leaveAddress(host);
    this.#observe(this.#healthCheck, host, { ok: false, reason });
    this.#monitor?.wake();
  }

  #newWatch(): NameWatch {
    const { host } = this.config.address;
    return new NameWatch(host, this.#resolveIntervalMs, (answer) => this.#resolved(answer), this.#lookup);
  }

  /** Checks under what is configured now, and at the address that is in use now. */
  #checkAnew(): void {
    this.#monitor?.close();
    this.#monitor = this.#newMonitor();
    if (this.#address === undefined) return;
    if (this.#monitor) this.#monitor.start();
    else if (!this.health.up) this.#become(freshHealth(Date.now()));
  }

  #newMonitor(): HealthMonitor | undefined {
    const config = this.#healthCheck;
    return config === false ? undefined : new HealthMonitor(config, () => this.#check(config));
  }

  async #check(config: HealthCheckConfig): Promise<Health> {
    const [host, monitor] = [this.#address, this.#monitor];
    if (host === undefined) return this.health;
    const startedMs = performance.now();
    const { address, foundAs = address.host, sendProxy } = this.config;
    const result =
      config.port === 'same'
        ? await this.#probe({ host, port: this.#port }, foundAs, config, sendProxy)
        : // What listens at another port is not what clients are sent to.
          await this.#probe({ host, port: config.port }, foundAs, config);
    if (result.notMade === true) return this.health;
    this.lastCheckSeconds = (performance.now() - startedMs) / 1_000;
    if (result.certificateExpiry !== undefined) this.certificateExpiry = result.certificateExpiry;
    // A check that was under way when the configuration changed says nothing any more.
    if (monitor !== this.#monitor) return this.health;
    this.#observer.serverChecked(this, result.ok);
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
    if (before.up === health.up) return;
    if (health.up) this.#recoveredMs = performance.now();
    else this.slots.move();
    this.#observer.serverChanged(this, before);
  }

  /** A name with several addresses goes on to the next where one fails. */
  #leaveAddress(host: string): void {
    if (host !== this.#address || this.#addresses.length < 2) return;
    this.#address = this.#addresses[(this.#addresses.indexOf(host) + 1) % this.#addresses.length];
  }

  /** The last good answer stays in force: a resolver that is away takes no server down. */
  #resolved(answer: Answer): void {
    const first = !this.#located;
    if ('failure' in answer) {
      if (!first) return;
      this.#address = undefined;
      const reason = `${this.config.address.host} does not resolve (${answer.failure})`;
      const since = this.health.up ? Date.now() : this.health.since;
      return this.#become({ ...this.health, up: false, fresh: false, reason, since });
    }
    const moved = first && this.#address !== undefined;
    this.#located = true;
    this.#port = this.config.address.port;
    this.#addresses = answer.addresses;
    // Stays where it is while that is still an answer: a client's pushes belong on one node.
    if (first || !answer.addresses.includes(this.#address ?? '')) this.#address = answer.addresses[0];
    if (moved) this.#become(freshHealth(Date.now()));
    if (first) this.#checkAnew();
  }
}
