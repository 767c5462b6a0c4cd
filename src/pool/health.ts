import type { HealthCheckConfig } from '../config/schema.ts';

/** What checks say of a server: a value, replaced as a whole. */
export type Health = {
  readonly up: boolean;
  /** Results in a row that contradict `up`. */
  readonly streak: number;
  /** Nothing has been observed yet: the first failure then weighs as much as `fall` of them. */
  readonly fresh: boolean;
  /** Why it is down; empty while it is up. */
  readonly reason: string;
  /** Since when it is up or down, in milliseconds since 1970. */
  readonly since: number;
};

export type Observation = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** A server at the start of the process: taken for up, until the first check says otherwise. */
export function freshHealth(now: number): Health {
  return { up: true, streak: 0, fresh: true, reason: '', since: now };
}

/**
 * The next state: `fall` failures in a row take a server down, `rise` successes in a row bring it up; one result that agrees
 * with the state clears the opposite streak.
 */
export function observe(
  health: Health,
  seen: Observation,
  { rise, fall }: Pick<HealthCheckConfig, 'rise' | 'fall'>,
  now: number,
): Health {
  const reason = seen.ok ? '' : seen.reason;
  if (seen.ok === health.up) return { ...health, streak: 0, fresh: false, reason };
  const streak = health.streak + 1;
  const needed = seen.ok ? rise : health.fresh ? 1 : fall;
  if (streak < needed) return { ...health, streak, fresh: false };
  return { up: seen.ok, streak: 0, fresh: false, reason, since: now };
}

export type Schedule = Pick<HealthCheckConfig, 'interval' | 'fastInterval'>;

/** However often it is woken, a server is not checked again sooner than this after its last check. */
const FLOOR_MS = 100;
/** Checks of many servers must not run in step. */
const JITTER = 0.1;

/** Runs a server's checks one after another, never two at once; `wake` brings the next one forward. */
export class HealthMonitor {
  readonly #schedule: Schedule;
  readonly #check: () => Promise<Health>;
  readonly #random: () => number;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #wanted = false;
  #lastEndMs = -Infinity;
  #closed = false;

  /** `check` makes one check, to its end, and tells the health after it; it must not reject. */
  constructor(schedule: Schedule, check: () => Promise<Health>, random: () => number = Math.random) {
    this.#schedule = schedule;
    this.#check = check;
    this.#random = random;
  }

  start(): void {
    this.#after(0);
  }

  /** The next check comes at once, or right after the one that runs. */
  wake(): void {
    if (this.#running) this.#wanted = true;
    else this.#after(Math.max(0, this.#lastEndMs + FLOOR_MS - performance.now()));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #after(ms: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), ms);
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#wanted = false;
    const health = await this.#check();
    this.#running = false;
    this.#lastEndMs = performance.now();
    const interval = health.streak === 0 ? this.#schedule.interval : this.#schedule.fastInterval;
    this.#after(this.#wanted ? FLOOR_MS : interval * (1 + JITTER * (2 * this.#random() - 1)));
  }
}
