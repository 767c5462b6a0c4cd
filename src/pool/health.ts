import type { HealthCheckConfig } from '../config/schema.ts';

/** What checks say of a server: a value, replaced as a whole. */
export type Health = {
  readonly up: boolean;
  /** Results in a row that contradict `up`. */
  readonly streak: number;
  /** Whether nothing has been observed yet: the first failure then weighs as much as `fall` failures. */
  readonly fresh: boolean;
  /** Why the server is down; empty while it is up. */
  readonly reason: string;
  /** Since when the server is up or down, in milliseconds since 1970. */
  readonly since: number;
};

/** The result of a check, or of a connect that failed; `reason` is in words for an operator. */
export type Observation = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** A server counts as up until its first check. `now` is in milliseconds since 1970. */
export function freshHealth(now: number): Health {
  return { up: true, streak: 0, fresh: true, reason: '', since: now };
}

/**
 * The health after one more observation: `fall` failures in a row take a server down, `rise` successes in a row bring
 * it up, and a result that agrees with the health clears the streak against it. (HAProxy's `fall` and `rise`,
 * configuration manual section 5.2.) `now` is in milliseconds since 1970.
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

/** The health of a server whose name has no address, so that nothing can be checked. */
export function unresolved(health: Health, name: string, failure: string, now: number): Health {
  const reason = `${name} does not resolve: ${failure}`;
  return { ...health, up: false, fresh: false, reason, since: health.up ? now : health.since };
}

/** In milliseconds: the time between checks while `streak` is 0, and while it is not. */
export type Schedule = Pick<HealthCheckConfig, 'interval' | 'fastInterval'>;

/** However often `wake` is called, a server's next check comes no sooner than this after the end of its last check. */
const FLOOR_MS = 100;
/** Each interval is longer or shorter by up to this share, so that the checks of many servers do not run in step. */
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

  /** `check` makes one check, to its end, and resolves to the health after this check; it must not reject. */
  constructor(schedule: Schedule, check: () => Promise<Health>, random: () => number = Math.random) {
    this.#schedule = schedule;
    this.#check = check;
    this.#random = random;
  }

  start(): void {
    this.#after(0);
  }

  /** The next check comes FLOOR_MS after the last has ended, or at once where the last ended longer ago. */
  wake(): void {
    if (this.#running) this.#wanted = true;
    else this.#after(Math.max(0, this.#lastEndMs + FLOOR_MS - performance.now()));
  }

  /** Begins no check from now on; a check under way runs to its end. */
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
