import { setTimeout as sleep } from 'node:timers/promises';
import { adminApi } from './admin/admin-api.ts';
import { metricsAnswers } from './admin/metrics-answers.ts';
import { Recent } from './clients/recent.ts';
import { Sessions } from './clients/sessions.ts';
import { formatProblem } from './config/locate.ts';
import type { Config } from './config/schema.ts';
import type { ConfigFile } from './config-file.ts';
import type { Control, Draft, Outcome } from './control.ts';
import { Counts } from './counts.ts';
import { messageOf } from './errors.ts';
import { inWords, type Change } from './generation/changes.ts';
import type { Generation } from './generation/generation.ts';
import { House } from './generation/house.ts';
import { plan, type Plan } from './generation/plan.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import type { Backend } from './pool/backend.ts';
import { tellOpenings } from './openings.ts';
import type { Frontend } from './proxy/frontend.ts';
import type { Sockets } from './proxy/relay/sockets.ts';
import { Rates } from './rates.ts';
import { rehearsal } from './rehearsal.ts';
import { reports } from './reports.ts';
import { Rounds, type DoctorSeen } from './rounds.ts';
import { StateKeeper } from './state.ts';
import { Sweep } from './sweep.ts';
import { version } from './version.ts';
import type { Stage, View } from './view.ts';

/**
 * The stages of a balancer's life: start, reload after reload, drain, stop. One generation after another is in force.
 */
export class Balancer implements View, Control {
  readonly recent = new Recent();
  readonly sessions: Sessions;
  readonly rates = new Rates();
  readonly configFile: ConfigFile;
  readonly #log: Log;
  readonly #house: House;
  /** The configuration of the start; the configuration in force stands in the generation. */
  readonly #first: Config;
  #generation: Generation | undefined;
  #stage: Stage = 'starting';
  readonly #sweep = new Sweep(() => this.sweep());
  /** The start or reload that is under way. The next waits for it, since each compares with what the last has left. */
  #busy: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  /** Aborted when the balancer stops, so that a plan which waits for names is given up. */
  readonly #stops = new AbortController();
  /** Aborted by a second stop: nothing is waited for any more. */
  readonly #hurries = new AbortController();

  /** `file` is where `config` comes from, and what a reload loads again. */
  constructor(config: Config, log: Log, sockets: Sockets, file: ConfigFile) {
    this.#first = config;
    this.#log = log;
    this.configFile = file;
    const counts = new Counts();
    this.sessions = new Sessions((session) => observer.sessionEnded(session));
    const observer = reports({
      log,
      counts,
      sessions: this.sessions,
      recent: this.recent,
      logConnections: () => this.config.log.connections,
      serverDown: (server) => {
        if (this.config.backends[server.backend]?.onServerDown !== 'close') return;
        for (const frontend of this.frontends) frontend.killOf(server);
      },
    });
    this.#house = new House({
      sockets,
      observer,
      state: new StateKeeper(() => this.backends, log),
      rounds: new Rounds(this, log),
      metrics: metricsAnswers(this, new Metrics(this, counts, log.outlet)),
      admin: adminApi({ view: this, control: this, counts, log }),
    });
  }

  get stage(): Stage {
    return this.#stage;
  }

  get config(): Config {
    return this.#generation?.config ?? this.#first;
  }

  get frontends(): readonly Frontend[] {
    return this.#house.frontends;
  }

  get backends(): readonly Backend[] {
    return [...(this.#generation?.backends.values() ?? [])];
  }

  get doctor(): DoctorSeen | undefined {
    return this.#house.rounds.seen;
  }

  addressesOf(frontend: string): readonly string[] {
    return this.#house.listeners.addressesOf({ kind: 'frontend', name: frontend });
  }

  /** Rejects with a StartError where a port or a limit stands in the way; nothing goes on running then. */
  async start(): Promise<void> {
    const started = this.#turn(this.#first);
    this.#busy = started.catch(() => {});
    try {
      await started;
    } catch (error) {
      this.#close();
      if (this.#stopping) return;
      throw error;
    }
    for (const { fd, name } of this.#house.listeners.inherited.closeRest()) {
      this.#log.tell('inherited_closed', { name, fd });
    }
    this.#log.tell('started', { version, node: process.version, maxConnections: this.#generation?.capacity ?? 0 });
  }

  /** Loads the file again, after the start, reload or rehearsal that is under way. */
  reload(): Promise<Outcome<string>> {
    const reloaded = this.#busy.then(() => this.#reload());
    this.#busy = reloaded;
    return reloaded;
  }

  /** In its turn too: what a rehearsal tries must not stand in the way of a reload. */
  rehearse(draft?: Draft): Promise<Outcome<Change>> {
    const rehearsed = this.#busy.then(() => this.#rehearse(draft));
    this.#busy = rehearsed;
    return rehearsed;
  }

  /**
   * Is not ready for timeouts.lameDuck, then stops accepting, lets established connections finish within
   * timeouts.drain, and ends. A second call ends at once what the first call waits for.
   */
  stop(reason: string): Promise<void> {
    if (this.#stopping) {
      this.#hurries.abort();
      this.#killAll();
    }
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  sweep(): void {
    const nowMs = performance.now();
    for (const frontend of this.frontends) frontend.sweep(nowMs);
    this.rates.look(this.frontends, this.backends, nowMs);
    this.sessions.sweep(nowMs);
    this.#house.buffers.trim(nowMs);
    if (this.#generation) this.#house.forget(this.#generation);
  }

  async #rehearse(draft: Draft | undefined): Promise<Outcome<Change>> {
    const old = this.#generation;
    if (this.#stage !== 'running' || !old) return { problems: [`it is ${this.#stage}`] };
    return rehearsal(this.#house, old, () => this.configFile.load(draft), this.#stops.signal);
  }

  async #reload(): Promise<Outcome<string>> {
    if (this.#stage !== 'running') {
      // The file is not at fault: `config_last_reload_successful` stays as it is.
      this.#log.tell('reload_refused', { stage: this.#stage });
      return { problems: [`it is ${this.#stage}`] };
    }
    this.#log.tell('reloading');
    let [problems, changes]: [readonly string[], readonly Change[]] = [[], []];
    try {
      const loaded = this.configFile.load();
      if (loaded.kind === 'problems') problems = loaded.problems.map(formatProblem);
      else changes = await this.#turn(loaded.config);
    } catch (error) {
      // Whatever the error is (out of descriptors, say), the generation in force goes on.
      problems = [messageOf(error)];
    }
    this.configFile.loaded(problems);
    if (problems.length === 0) this.#log.tell('reloaded');
    else this.#log.tell('reload_failed', { problems });
    return problems.length === 0 ? { changes: changes.map(inWords) } : { problems };
  }

  /** Plans a generation, and puts it in force. Rejects with a StartError, and then nothing has changed. */
  async #turn(config: Config): Promise<readonly Change[]> {
    const next = await plan(this.#house, this.#generation, config, this.#stops.signal);
    this.#commit(next);
    return next.changes;
  }

  #commit(next: Plan): void {
    const { config } = next.generation;
    this.#generation = next.generation;
    this.#stage = 'running';
    this.#log.follow(config.log);
    next.commit();
    this.#sweep.under(config.timeouts);
    tellOpenings(this.#log, config, next);
  }

  async #stop(reason: string): Promise<void> {
    const { lameDuck: lameDuckMs } = this.config.timeouts;
    const lame = this.#stage === 'running' && lameDuckMs > 0;
    this.#stage = lame ? 'lame-duck' : 'draining';
    this.#stops.abort();
    this.#house.rounds.close();
    if (lame) {
      this.#log.tell('lame_duck', { reason, connections: this.#connections, lameDuckMs });
      await sleep(lameDuckMs, undefined, { signal: this.#hurries.signal }).catch(() => {});
      this.#stage = 'draining';
    }
    await this.#drain(reason);
    await Promise.all([this.#house.state.save(), this.#house.finish()]);
    this.#close();
    this.#log.tell('stopped');
    // Last, so that whoever reads the events along has read that too.
    this.#house.admin.close();
  }

  async #drain(reason: string): Promise<void> {
    const { drain: drainMs } = this.config.timeouts;
    this.#log.tell('draining', { reason, connections: this.#connections, drainMs });
    await this.#house.listeners.stop('frontend');
    // Clients that came by a backlog after the second stop.
    if (this.#hurries.signal.aborted) this.#killAll();
    const timer = setTimeout(() => {
      this.#log.tell('drain_timed_out', { connections: this.#connections });
      this.#killAll();
    }, drainMs);
    await Promise.all(this.frontends.map((frontend) => frontend.empty()));
    clearTimeout(timer);
  }

  get #connections(): number {
    return this.frontends.reduce((sum, frontend) => sum + frontend.connections, 0);
  }

  #killAll(): void {
    for (const frontend of this.frontends) frontend.killAll();
  }

  #close(): void {
    this.#sweep.close();
    this.sessions.close();
    this.#house.close();
  }
}
