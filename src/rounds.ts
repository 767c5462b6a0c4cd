import { setTimeout as sleep } from 'node:timers/promises';
import type { BackendConfig, Config } from './config/schema.ts';
import type { Finding } from './doctor/findings.ts';
import type * as round from './doctor/round.ts';
import type { Teller } from './log.ts';
import type { Step } from './step.ts';
import type { View } from './view.ts';

/** The first round comes as soon as this, or sooner: an operator who has just asked for rounds wants to see one. */
const FIRST_MS = 60_000;
/** Between two turns to nodes, at most; a short interval has shorter pauses. */
const LONGEST_PAUSE_MS = 30_000;
/** The turns of a round to each node, at most: a look, two uploads, a blob. Pauses are half of the interval then. */
const TURNS = 4;
/** A round that takes longer is given up, unless the interval is longer. */
const LEAST_PATIENCE_MS = 60_000;
/** As many findings are kept and told. */
const MOST_FINDINGS = 200;

export type Found = Pick<Finding, 'code' | 'level' | 'where' | 'seen'>;

/** What the doctor has seen of a backend. */
export type DoctorSeen = {
  readonly backend: string;
  /** When the last round that came to its end ended, in milliseconds since 1970; undefined before the first. */
  readonly lastRunMs: number | undefined;
  /** Why there was no round since; undefined where there was. */
  readonly skipped: string | undefined;
  readonly findings: readonly Found[];
};

/** The doctor's code, which is loaded only where rounds are wanted. */
type Doctor = typeof round;
/** What a round needs to see of a running balancer. */
type Cluster = Pick<View, 'stage' | 'config' | 'backends'>;

/** Why a round is not begun, or not gone on with. */
class Skipped extends Error {}

/**
 * The rounds of the doctor: one audit after another, at no time two. A round turns to one node at a time, with pauses
 * in between, and is given up as soon as the balancer stops or a node is down or not ready: then the cluster has other
 * troubles. Nothing is kept from one round to the next but the findings.
 */
export class Rounds {
  readonly #cluster: Cluster;
  readonly #log: Teller;
  #config: Config['doctor'] | undefined;
  #audited: BackendConfig | undefined;
  #seen: DoctorSeen | undefined;
  /** Whether the last round was told of as clean or as skipped, and why, so that each is told once. */
  #told = '';
  #timer: NodeJS.Timeout | undefined;
  /** Of the round that is under way. */
  #round: AbortController | undefined;

  constructor(cluster: Cluster, log: Teller) {
    this.#cluster = cluster;
    this.#log = log;
  }

  /** Undefined where no rounds are wanted. */
  get seen(): DoctorSeen | undefined {
    return this.#seen;
  }

  /** Rejects with a StartError where the key `doctor` asks for what cannot be. */
  async plan(config: Config): Promise<Step> {
    const doctor = config.doctor.interval > 0 ? await import('./doctor/round.ts') : undefined;
    const backend = doctor?.orderOf(config).backend;
    return { commit: () => this.#follow(config, doctor, backend), rollback() {} };
  }

  /** A round that is under way deletes what it has begun on the nodes, and ends. */
  close(): void {
    clearTimeout(this.#timer);
    this.#round?.abort();
    this.#round = undefined;
  }

  #follow({ doctor: config, backends }: Config, doctor: Doctor | undefined, backend = ''): void {
    const audited = backends[backend];
    const isSameOrder = config === this.#config;
    if (isSameOrder && audited === this.#audited) return;
    [this.#config, this.#audited] = [config, audited];
    if (this.#seen?.backend !== backend) {
      this.#seen = doctor && { backend, lastRunMs: undefined, skipped: undefined, findings: [] };
      this.#told = '';
    }
    // The next round will see what is new: reloads that come sooner than the interval must not keep it from coming.
    if (isSameOrder && !this.#round) return;
    this.close();
    if (doctor) this.#schedule(doctor, Math.min(config.interval, FIRST_MS) * Math.random());
  }

  #schedule(doctor: Doctor, inMs: number): void {
    this.#timer = setTimeout(() => void this.#begin(doctor), inMs);
  }

  async #begin(doctor: Doctor): Promise<void> {
    if (this.#cluster.stage !== 'running') return;
    const startedMs = performance.now();
    const { config } = this.#cluster;
    const { interval } = config.doctor;
    const patienceMs = Math.max(interval, LEAST_PATIENCE_MS);
    const round = new AbortController();
    this.#round = round;
    const late = setTimeout(() => round.abort(new Skipped(`it took longer than ${patienceMs / 1_000} s`)), patienceMs);
    try {
      this.#mind();
      const turn = async (nodes: number): Promise<void> => {
        const pauseMs = Math.min(LONGEST_PAUSE_MS, interval / 2 / (TURNS * nodes)) * (0.5 + Math.random());
        await sleep(pauseMs, undefined, { signal: round.signal });
        this.#mind();
      };
      const { nodes, findings } = await doctor.round(doctor.orderOf(config), turn, round.signal);
      // What a round has found of a node that goes down meanwhile is the matter of the health checks.
      if (this.#round === round) this.#mind();
      if (this.#round === round) this.#found(findings, nodes, performance.now() - startedMs);
    } catch (error) {
      // Whatever it is, nobody else is to suffer from it.
      const { message } = round.signal.aborted ? (round.signal.reason as Error) : (error as Error);
      if (this.#round === round) this.#skip(message);
    } finally {
      clearTimeout(late);
    }
    // A reload may have ended this round and begun to wait for another.
    if (this.#round !== round) return;
    this.#round = undefined;
    const restMs = interval * (0.9 + 0.2 * Math.random()) - (performance.now() - startedMs);
    this.#schedule(doctor, Math.max(restMs, interval / 10));
  }

  /** Throws Skipped where the cluster is not to be disturbed now. */
  #mind(): void {
    const { stage, backends } = this.#cluster;
    if (stage !== 'running') throw new Skipped(`Berth is ${stage}`);
    const servers = backends.find(({ name }) => name === this.#seen?.backend)?.servers ?? [];
    for (const { name, health, admin } of servers) {
      if (!health.up) throw new Skipped(`${name} is down`);
      if (admin !== 'ready') throw new Skipped(`${name} is in ${admin}`);
    }
  }

  #skip(reason: string): void {
    if (!this.#seen) return;
    const { backend } = this.#seen;
    this.#seen = { ...this.#seen, skipped: reason };
    this.#tellOnce(`skipped: ${reason}`, () => this.#log.tell('doctor_skipped', { backend, reason }));
  }

  #found(all: readonly Finding[], nodes: number, durationMs: number): void {
    if (!this.#seen) return;
    const { backend, findings: before } = this.#seen;
    const findings = all.slice(0, MOST_FINDINGS);
    const kept = findings.map(({ code, level, where, seen }) => ({ code, level, where, seen }));
    this.#seen = { backend, lastRunMs: Date.now(), skipped: undefined, findings: kept };
    const [known, now] = [new Set(before.filter(isFault).map(key)), new Set(kept.filter(isFault).map(key))];
    for (const found of findings.filter(isFault)) {
      const { code, level: gravity, where, seen: reason, mend } = found;
      if (!known.has(key(found))) this.#log.tell('doctor_finding', { backend, code, gravity, where, reason, mend });
    }
    for (const found of before.filter(isFault)) {
      const { code, where } = found;
      if (!now.has(key(found))) this.#log.tell('doctor_cleared', { backend, code, where });
    }
    if (now.size > 0) this.#told = 'findings';
    else
      this.#tellOnce('clean', () =>
        this.#log.tell('doctor_clean', { backend, nodes, durationMs: Math.round(durationMs) }),
      );
  }

  #tellOnce(what: string, tell: () => void): void {
    if (this.#told !== what) tell();
    this.#told = what;
  }
}

/** An INFO is no fault of a node: it is in the metrics, and in no line of the log. */
const isFault = ({ level }: Found): boolean => level !== 'INFO';
const key = ({ code, where }: Found): string => `${code} ${where}`;
