import type { HealthCheckConfig } from '../config/schema.ts';
import type { Endpoint } from '../config/values.ts';
import { freshHealth, HealthMonitor, observe, unresolved, type Health, type Observation } from './health.ts';
import { Location, type Arrival } from './location.ts';
import type { Failing } from './named.ts';
import type { PoolObserver, Wake } from './observer.ts';
import type { Probe } from './probe/probe.ts';
import { turned, type StorageSeen } from './probe/storage.ts';
import type { AdminState, Saids } from './said.ts';
import type { ServerParts } from './server-parts.ts';
import { Slots } from './slots.ts';
import { checkFrom, Sources } from './sources.ts';
import type { ServerTerms } from './terms.ts';
import { Weight } from './weight.ts';

/** `away` is neither in force nor watched, `planned` is watched and not yet in force, `active` is in force. */
export type ServerStage = 'away' | 'planned' | 'active';

/**
 * One registry node: where it is, what checks say of it, what the operator wants of it, what it is doing now. A server
 * that is not in force is not usable, and the observer hears nothing of it.
 */
export class Server {
  readonly backend: string;
  readonly name: string;
  health: Health = freshHealth(Date.now());
  readonly slots = new Slots();
  readonly sources = new Sources();
  /** Since the start: connections made, and bytes relayed, of which `in` are those from client to server. */
  readonly traffic = { connections: 0, in: 0, out: 0 };
  /** Seconds since 1970, of the certificate that the last TLS check saw. */
  certificateExpiry: number | undefined;
  lastCheckSeconds: number | undefined;
  /** What the last check that asked for the storage saw of it. */
  storage: StorageSeen | undefined;
  /** What operators have said of it last: 'ready' may be only what a server begins with. */
  readonly said: Saids = {};
  readonly #observer: PoolObserver;
  readonly #probe: Probe;
  readonly #location: Location;
  readonly #wake: Wake | undefined;
  #config: ServerTerms;
  #stage: ServerStage = 'away';
  #monitor: HealthMonitor | undefined;
  /** Ends the check that is under way. */
  #checking: AbortController | undefined;
  #admin: AdminState = 'ready';
  readonly #weight = new Weight();

  constructor({ backend, name, config, observer, ...parts }: ServerParts) {
    [this.backend, this.name, this.#config, this.#observer] = [backend, name, config, observer];
    [this.#probe, this.#wake] = [parts.probe, parts.wake];
    this.#location = new Location((arrival) => this.#arrived(arrival), parts.lookup, parts.onNameAnswer);
  }

  get config(): ServerTerms {
    return this.#config;
  }

  get stage(): ServerStage {
    return this.#stage;
  }

  get admin(): AdminState {
    return this.#admin;
  }

  /** Its share of new clients now. */
  get weight(): number {
    return this.#weight.now(this.#config);
  }

  /** The weight that the operator wants instead of the configured one. */
  get ownWeight(): number | undefined {
    return this.#weight.own(this.#config);
  }

  get connections(): number {
    return this.slots.taken;
  }

  get usable(): boolean {
    return this.#stage === 'active' && this.health.up && this.#admin !== 'maint' && this.endpoint !== undefined;
  }

  /** There is a free place. */
  get hasRoom(): boolean {
    return this.slots.free(this.#config.maxConnections);
  }

  /** What the operator wants; connections that stand go on in each state. */
  setAdmin(state: AdminState): void {
    const before = this.#admin;
    this.#admin = state;
    if (state !== before && this.#stage === 'active') this.#observer.adminChanged(this, before);
    this.#wake?.changed();
  }

  /** The share that the operator wants, until a reload brings another weight. */
  setWeight(weight: number): void {
    const before = this.#weight.set(weight, this.#config);
    if (weight !== before && this.#stage === 'active') this.#observer.weightChanged(this, weight, before);
    this.#wake?.changed();
  }

  /** A connection that had a place has ended. */
  releaseSlot(): void {
    this.slots.release();
    this.#wake?.freed(this);
  }

  /** The IP literal and port to connect to now; undefined until the name has resolved. */
  get endpoint(): Endpoint | undefined {
    return this.#location.endpoint;
  }

  /** Why the last look-up of its name failed. */
  get failing(): Failing | undefined {
    return this.#location.failing;
  }

  /**
   * Begins to resolve and to check, as a server that nothing is known of: up until the first check says otherwise.
   * Resolves when the first answer to the name is there. A server that was away is planned from here on.
   */
  start(config = this.#config): Promise<void> {
    this.close();
    this.#config = config;
    if (this.#stage === 'away') {
      this.#stage = 'planned';
      this.#location.forget();
    }
    this.health = freshHealth(Date.now());
    this.#weight.recovered(false);
    return this.#location.find(config.address, config.resolveInterval);
  }

  /** It is in force from now on. What it has learnt while it was planned is told now. */
  enter(): void {
    this.#stage = 'active';
    if (!this.health.up) this.#observer.serverChanged(this, freshHealth(this.health.since));
    if (this.storage?.known === false) this.#observer.storageChanged(this, this.storage);
  }

  /** Its connections go on, new ones go elsewhere. `config` is what it had before a plan that is rolled back. */
  leave(config = this.#config): void {
    this.#config = config;
    this.#stage = 'away';
    this.close();
  }

  /** Nothing is observed any more, and a check that is under way ends. What is on its way here still arrives. */
  close(): void {
    this.#location.close();
    this.#endChecks();
  }

  /**
   * Goes on under another configuration: connections, the operator's state and health stay. Where the address is
   * another, connections go to the former one until the new one is known; from then on health is that of a new server.
   */
  change(config: ServerTerms): void {
    const { address, resolveInterval, healthCheck } = this.#config;
    this.#config = config;
    this.#weight.change(config);
    if (!config.healthCheck || !config.healthCheck.storage) this.storage = undefined;
    if (config.healthCheck !== healthCheck) this.#checkAnew();
    if (config.address.host !== address.host || config.address.port !== address.port) {
      void this.#location.find(config.address, config.resolveInterval);
    } else if (config.resolveInterval !== resolveInterval) {
      void this.#location.retime(config.address, config.resolveInterval);
    }
  }

  /**
   * A client's connection to `host` and `port` failed: as good as a failed check, and the next check comes forward. Not
   * where the server has moved, and not without checks, since nothing could bring the server up again then.
   */
  connectFailed(endpoint: Endpoint, reason: string): void {
    if (!this.#location.has(endpoint)) return;
    const { host } = endpoint;
    const { healthCheck } = this.#config;
    if (healthCheck === false || !this.#monitor) return this.#location.leave(host);
    this.#observe(healthCheck, host, { ok: false, reason });
    this.#monitor.wake();
  }

  /** Checks under what is configured now, and at the address that is in use now. */
  #checkAnew(): void {
    this.#endChecks();
    if (!this.endpoint) return;
    const { healthCheck } = this.#config;
    if (healthCheck !== false) {
      this.#monitor = new HealthMonitor(healthCheck, () => this.#check(healthCheck));
      this.#monitor.start();
    } else if (!this.health.up) this.#become(freshHealth(Date.now()));
  }

  #endChecks(): void {
    this.#monitor?.close();
    this.#monitor = undefined;
    this.#checking?.abort();
    // The reason of an abort keeps the stack at which it came, and all that stands there.
    this.#checking = undefined;
  }

  async #check(config: HealthCheckConfig): Promise<Health> {
    const { endpoint } = this;
    if (!endpoint) return this.health;
    const { signal } = (this.#checking = new AbortController());
    const startedMs = performance.now();
    const result = await checkFrom(this.sources, this.#probe, endpoint, this.#config, signal);
    // A check that was under way when the configuration changed says nothing any more.
    if (signal.aborted || result.notMade === true) return this.health;
    this.lastCheckSeconds = (performance.now() - startedMs) / 1_000;
    if (result.certificateExpiry !== undefined) this.certificateExpiry = result.certificateExpiry;
    if (this.#stage === 'active') this.#observer.serverChecked(this, result.ok);
    const change = turned(this.storage, result.storage);
    if (result.storage) this.storage = result.storage;
    if (change && this.#stage === 'active') this.#observer.storageChanged(this, change);
    this.#observe(config, endpoint.host, result);
    return this.health;
  }

  #observe(config: HealthCheckConfig, host: string, seen: Observation): void {
    this.#become(observe(this.health, seen, config, Date.now()));
    if (!seen.ok) this.#location.leave(host);
  }

  #become(health: Health): void {
    const before = this.health;
    this.health = health;
    if (before.up === health.up) return;
    if (health.up) this.#weight.recovered(true);
    if (this.#stage === 'active') this.#observer.serverChanged(this, before);
    this.#wake?.changed();
  }

  #arrived(arrival: Arrival): void {
    const { host } = this.#config.address;
    if (arrival.kind !== 'found') return this.#become(unresolved(this.health, host, arrival.failure, Date.now()));
    if (arrival.moved) this.#become(freshHealth(Date.now()));
    this.#checkAnew();
    this.#wake?.changed();
  }
}
