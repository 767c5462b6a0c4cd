/**
 * What a stick table of so many bindings costs: memory, time for each step of a connection, and how long the event loop
 * is held by whatever is done with all of them. A process of its own, with `--expose-gc`; `npm run bench:table` prints
 * it for the sizes that are given, 200,000 unless told.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BackendConfig } from '../src/config/schema.ts';
import { schema } from '../src/config/schema.ts';
import { Backend } from '../src/pool/backend.ts';
import type { PoolObserver } from '../src/pool/observer.ts';
import { StickTable } from '../src/pool/stick-table.ts';
import { saveState } from '../src/state-file.ts';
import { StateKeeper } from '../src/state.ts';

export type TableFigures = Readonly<Record<string, number>>;

const EXPIRE_MS = 1_800_000;
/** Connections in one turn of the event loop, while a table is filled. */
const A_TURN = 100;
const FEWEST_LOOKS = 200_000;
const servers = [{ name: 's1' }, { name: 's2' }, { name: 's3' }, { name: 's4' }];
// Clients return in another order than they came in, because that order would suit the processor's cache too well.
const STRIDE = 7_919;
const address = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** Calls `step` with 0 to `count` - 1; returns the nanoseconds of a call. */
function time(count: number, step: (i: number) => void): number {
  const startedMs = performance.now();
  for (let i = 0; i < count; i++) step(i);
  return ((performance.now() - startedMs) * 1e6) / count;
}

/** How long something takes, and the longest time between two turns of the event loop meanwhile. */
async function held(act: () => unknown): Promise<{ ms: number; pauseMs: number }> {
  let [pauseMs, lastMs, acting] = [0, performance.now(), true];
  const turn = (): void => {
    const nowMs = performance.now();
    pauseMs = Math.max(pauseMs, nowMs - lastMs);
    lastMs = nowMs;
    if (acting) setImmediate(turn);
  };
  const startedMs = lastMs;
  setImmediate(turn);
  await act();
  const ms = performance.now() - startedMs;
  acting = false;
  await nextTurn();
  return { ms, pauseMs };
}

function steps(size: number): TableFigures {
  const before = heapBytes();
  const table = new StickTable<{ name: string }>({ size, expireMs: EXPIRE_MS });
  const connect = (i: number): void => {
    const client = address(i);
    table.open(client);
    if (!table.match(client)) table.bind(client, servers[i % servers.length]!);
    table.close(client);
  };
  const first = time(size, connect);
  const full = heapBytes();
  // In a small table as often as in a large one, or V8 has not optimised the code yet.
  const looks = Math.max(size, FEWEST_LOOKS);
  const named = time(looks, (i) => address((i * STRIDE) % size));
  return {
    'bytes a binding': (full - before) / size,
    'lookup, ns': time(looks, (i) => table.peek(address((i * STRIDE) % size))) - named,
    'first connection, ns': first,
    'returning client, ns': time(size, (i) => connect((i * STRIDE) % size)),
    'first, table full, ns': time(size, (i) => connect(size + i)),
  };
}

const nothing = (): void => {};
const silent: PoolObserver = new Proxy({} as PoolObserver, { get: () => nothing });

/** A backend whose table has this size. */
function backendOf(size: number, nowMs: () => number): { backend: Backend; config: BackendConfig } {
  const { backends } = schema.parse({
    frontends: { f: { bind: '127.0.0.1:0', backend: 'b' } },
    backends: {
      b: {
        healthCheck: false,
        stickTable: { size, expire: '30m' },
        servers: Object.fromEntries(servers.map(({ name }, i) => [name, `127.0.0.1:${i + 1}`])),
      },
    },
  });
  const config = backends['b']!;
  const backend = new Backend('b', silent, { now: nowMs });
  backend.plan(config).commit();
  return { backend, config };
}

async function slices(size: number, folder: string): Promise<TableFigures> {
  const fromMs = performance.now();
  let aheadMs = 0;
  const nowMs = (): number => performance.now() - fromMs + 1 + aheadMs;
  const { backend } = backendOf(size, nowMs);
  const table = backend.table!;
  const found: Record<string, number> = {};
  const say = (what: string, { ms, pauseMs }: { ms: number; pauseMs: number }): void => {
    found[`${what}, s`] = ms / 1_000;
    found[`${what}, longest pause, ms`] = pauseMs;
  };
  const fill = async (): Promise<void> => {
    for (let i = 0; i < size; i++) {
      const stay = backend.open(address(i));
      stay.choose(new Set());
      stay.close();
      if (i % A_TURN === 0) await nextTurn();
    }
  };
  say('filling', await held(fill));
  const file = join(folder, `state-${size}`);
  say('saving', await held(() => saveState(file, [backend])));
  const restored = backendOf(size, nowMs);
  const keeper = new StateKeeper(() => [restored.backend], { tell: nothing, connection: nothing, session: nothing });
  const state = { file, interval: 1_000_000_000 };
  const load = async (): Promise<void> => {
    const plan = await keeper.plan({ state, backends: { b: restored.config } }, [restored.backend]);
    plan.commit();
  };
  say('restoring', await held(load));
  keeper.close();
  if (restored.backend.table?.entries !== size) throw new Error('not all bindings have come back');
  const list = async (): Promise<void> => {
    let listed = 0;
    for (const _ of table.walk()) if (++listed % 1_000 === 0) await nextTurn();
  };
  say('listing', await held(list));
  const until = async (entries: number, of: Backend): Promise<void> => {
    while ((of.table?.entries ?? 0) > entries) await nextTurn();
  };
  const smaller = Math.ceil(size / 2);
  const change = async (): Promise<void> => {
    const { config } = restored;
    const stickTable = { ...(config.stickTable as object), size: smaller } as BackendConfig['stickTable'];
    restored.backend.plan({ ...config, stickTable }).commit();
    await until(smaller, restored.backend);
  };
  say('shrinking to the half', await held(change));
  aheadMs = EXPIRE_MS + 1;
  const expire = async (): Promise<void> => {
    while (table.expire()) await nextTurn();
  };
  say('expiring', await held(expire));
  for (const each of [backend, restored.backend]) each.close();
  return found;
}

if (!globalThis.gc) throw new Error('run it with node --expose-gc');
const folder = mkdtempSync(join(tmpdir(), 'berth-table-'));
try {
  for (const size of process.argv.length > 2 ? process.argv.slice(2).map(Number) : [200_000]) {
    const figures = { ...steps(size), ...(await slices(size, folder)) };
    if (process.send) process.send(figures satisfies TableFigures);
    else {
      console.log(`${size} bindings, node ${process.version}`);
      for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(42)} ${value.toFixed(2)}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
