import { isDeepStrictEqual } from 'node:util';
import { STANDARD_ADMIN, type Config } from '../config/schema.ts';
import { StartError } from '../errors.ts';
import type { ListenersStep } from '../listeners/listeners.ts';
import type { Site } from '../listeners/site.ts';
import type { Backend } from '../pool/backend.ts';
import { FIRST_ANSWERS_MS, SOON_MS, type PoolStep } from '../pool/members.ts';
import { servesAtOnce, type ServerTerms } from '../pool/terms.ts';
import { connectionCapacity } from '../proxy/descriptors.ts';
import type { Frontend } from '../proxy/frontend.ts';
import { termsOf } from '../proxy/terms.ts';
import type { Step } from '../step.ts';
import { changesOf, type Change } from './changes.ts';
import type { Generation } from './generation.ts';
import type { House } from './house.ts';

/** A generation that is not in force yet. */
export type Plan = Step &
  Pick<ListenersStep, 'opened' | 'missing'> & {
    readonly generation: Generation;
    /** What the commit changes; nothing is said of a start. */
    readonly changes: readonly Change[];
  };

/**
 * Opens and prepares, beside what runs, whatever of `wanted` can fail. A start is a plan without an `old` generation.
 * The commit is one moment: it neither waits nor fails. Rejects with a StartError where something cannot be had, or
 * when `stops` is aborted, and then has left nothing.
 */
export function plan(house: House, old: Generation | undefined, wanted: Config, stops: AbortSignal): Promise<Plan> {
  return prepared(house, old, wanted, stops, false);
}

/**
 * What a reload to `wanted` would change: the same plan, rolled back. Sockets are open only while they are tried, and
 * no file is touched. Rejects as a plan does.
 */
export async function rehearse(
  house: House,
  old: Generation,
  wanted: Config,
  stops: AbortSignal,
): Promise<readonly Change[]> {
  const next = await prepared(house, old, wanted, stops, true);
  next.rollback();
  return next.changes;
}

async function prepared(
  house: House,
  old: Generation | undefined,
  wanted: Config,
  stops: AbortSignal,
  rehearsal: boolean,
): Promise<Plan> {
  const config = old ? share(old.config, wanted) : wanted;
  const capacity = connectionCapacity(config, house.otherFiles);
  const frontends = byName(config.frontends, (name) => house.frontend(name));
  const backends = byName(config.backends, (name) => house.backend(name));
  const generation: Generation = Object.freeze({ config, capacity, frontends, backends });

  const steps: Step[] = [];
  const rollback = (): void => steps.toReversed().forEach((step) => step.rollback());
  try {
    const pools = new Map<string, PoolStep>();
    // Before a start nobody is served: it does not wait for the names of one backend where another can serve.
    const patienceMs = !old && Object.values(config.backends).some(servesAtOnce) ? SOON_MS : FIRST_ANSWERS_MS;
    for (const backend of backends.values()) {
      const step = planned(backend, config, patienceMs);
      steps.push(step);
      pools.set(backend.name, step);
    }
    if (rehearsal) await house.state.rehearse(config.state);
    else steps.push(await house.state.plan(config, [...backends.values()]));
    steps.push(await house.rounds.plan(config));
    steps.push(...[...frontends.values()].map((frontend) => termsStep(frontend, generation)));
    const listeners = await house.listeners.plan(sites(house, generation), house.parking(capacity), stops, rehearsal);
    if (rehearsal) listeners.rollback();
    else steps.push({ commit: () => house.enter(generation, old), rollback() {} }, listeners);
    // While names are looked up, new binds accept already, and their clients are parked.
    await unlessStopped(Promise.all([...pools.values()].map(({ ready }) => ready)), stops);
    const { opened, closed, missing } = listeners;
    const servers = (backend: string): ReadonlyMap<string, ServerTerms> => pools.get(backend)?.servers() ?? new Map();
    return {
      generation,
      opened,
      missing,
      changes: old ? changesOf(old, { generation, opened, closed, servers }) : [],
      commit: () => steps.forEach((step) => step.commit()),
      rollback,
    };
  } catch (error) {
    rollback();
    throw error;
  }
}

/** Rejects with a StartError where a signal has come, or comes before `ready`. */
async function unlessStopped(ready: Promise<unknown>, stops: AbortSignal): Promise<void> {
  let stopped!: () => void;
  const stop = new Promise<void>((resolve) => (stopped = resolve));
  stops.addEventListener('abort', stopped);
  if (!stops.aborted) await Promise.race([ready, stop]);
  stops.removeEventListener('abort', stopped);
  if (stops.aborted) throw new StartError('STOPPING', 'it is stopping');
}

/** A name that is missing here is a defect: the configuration was checked. */
function planned(backend: Backend, { backends }: Config, patienceMs: number): ReturnType<Backend['plan']> {
  const config = backends[backend.name];
  if (!config) throw new TypeError(`there is no backend ${backend.name}`);
  return backend.plan(config, patienceMs);
}

/** To give a frontend other terms cannot fail. */
function termsStep(frontend: Frontend, { config, capacity, backends }: Generation): Step {
  const own = config.frontends[frontend.name];
  if (!own) throw new TypeError(`there is no frontend ${frontend.name}`);
  const terms = termsOf(own, config, capacity, backends);
  return { commit: () => frontend.serve(terms), rollback() {} };
}

/** Where a generation listens. The admin address that nobody asked for comes last: it gives way to every other. */
function sites(house: House, { config, frontends }: Generation): readonly Site[] {
  const own = (kind: 'metrics' | 'admin', bind: Site['bind'], optional = false): Site => ({
    owner: { kind, name: kind },
    bind,
    take: (socket) => house[kind].take(socket),
    optional,
  });
  const traffic = [...frontends.values()].flatMap((frontend): Site[] => {
    const binds = config.frontends[frontend.name]?.bind ?? [];
    const owner = { kind: 'frontend', name: frontend.name } as const;
    return binds.map((bind) => ({ owner, bind, take: (socket, unix) => frontend.accept(socket, unix) }));
  });
  const metrics = own('metrics', config.metrics.bind);
  return config.admin
    ? [metrics, own('admin', config.admin.bind), ...traffic]
    : [metrics, ...traffic, own('admin', STANDARD_ADMIN.bind, true)];
}

function byName<T>(of: Readonly<Record<string, unknown>>, part: (name: string) => T): ReadonlyMap<string, T> {
  return new Map(Object.keys(of).map((name) => [name, part(name)]));
}

/**
 * `next`, in which each part that equals its counterpart in `old` is that very object. So an unchanged part is known by
 * its identity, and nobody else compares two configurations.
 */
export function share<T>(old: unknown, next: T): T {
  if (isDeepStrictEqual(old, next)) return old as T;
  if (!isTree(old) || !isTree(next)) return next;
  if (Array.isArray(next)) return Object.freeze(next.map((value, i) => share(old[i], value))) as T;
  const shared = Object.entries(next).map(([key, value]) => [key, share(old[key], value)] as const);
  return Object.freeze(Object.fromEntries(shared)) as T;
}

function isTree(value: unknown): value is Readonly<Record<string | number, unknown>> {
  return typeof value === 'object' && value !== null;
}
