/** Balancers that share a table, and clients that come to them. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { schema } from '../../src/config/schema.ts';
import { redisSessions } from '../../src/pool/shared/redis.ts';
import type { Session } from '../../src/pool/shared/session.ts';
import { start, type Berth } from './berth.ts';
import { Client } from './clients.ts';
import type { TestServer } from './servers.ts';
import { RARE_CHECKS, settings, type Settings } from './settings.ts';

export const UP = 'berth_stick_table_shared_up{backend="b"}';

/** A backend `b` whose table is shared. */
export function sharing(
  servers: readonly TestServer[],
  shared: unknown,
  more: object = {},
  checks: object = RARE_CHECKS,
): Settings {
  const given = servers.map(({ name, address }) => ({ name, address }));
  return settings(given, { stickTable: { shared, ...more }, ...checks });
}

/** With time for an answer: on a busy machine Redis is late for no fault of its own. */
export const patient = (url: string) => ({ url, timeout: '3s' });

/** Starts a balancer that has reached its table. */
export async function joined(t: TestContext, config: Settings): Promise<Berth> {
  const berth = await start(t, config);
  await berth.line(({ event }) => event === 'shared_table_up');
  return berth;
}

/** Two sessions, of balancers `a` and `b`, with the shared table of a backend `b`, and what `a` is told. */
export async function twoSessions(t: TestContext, shared: string): Promise<{ sessions: Session[]; told: string[] }> {
  const backends = schema.shape.backends.parse({ b: { servers: { s: 'h:1' }, stickTable: { shared } } });
  const { stickTable } = backends['b']!;
  assert.ok(stickTable !== false && stickTable.shared !== false);
  const told: string[] = [];
  const sessions: Session[] = [];
  for (const instance of ['a', 'b']) {
    const events = { told: (message: string) => void (instance === 'a' && told.push(message)), lost: () => {} };
    sessions.push(await redisSessions(stickTable.shared, 'b', instance)(events));
  }
  t.after(() => sessions.forEach((session) => session.close()));
  return { sessions, told };
}

/** Who serves a connection from this address; the connection stays open. */
export async function come(t: TestContext, berth: Berth, from: string): Promise<string> {
  const client = new Client({ port: await berth.port(), from });
  t.after(() => client.socket.destroy());
  return client.line();
}

type Seen = { readonly served: number; readonly failed: readonly string[] };

/** Clients that nobody has seen come one after another, from `lanes` at once, until `until` is over. */
export async function strangers(berth: Berth, until: Promise<unknown>, lanes = 8): Promise<Seen> {
  const port = await berth.port();
  const [failed, seen] = [[] as string[], { served: 0, over: false }];
  const end = until.finally(() => (seen.over = true));
  const lane = async (_: unknown, i: number): Promise<void> => {
    for (let n = 0; !seen.over; n++) {
      const client = new Client({ port, from: `127.${100 + i}.${(n >> 8) & 255}.${n & 255 || 1}` });
      try {
        await client.line();
        seen.served++;
      } catch (error) {
        failed.push(String(error));
      }
      await client.finish();
    }
  };
  await Promise.all([end, ...Array.from({ length: lanes }, lane)]);
  return { served: seen.served, failed };
}

/** The longest that a connection has waited for other balancers, in milliseconds, of those that have ended. */
export const longestWait = ({ lines }: Berth): number =>
  Math.max(0, ...lines.filter(({ msg }) => msg === 'connection').map((line) => Number(line['sharedMs'] ?? 0)));

/** What the log says of the shared table, in order. */
export const changes = ({ lines }: Berth): string[] =>
  lines.flatMap(({ event }) => (String(event).startsWith('shared_table_') ? [String(event).slice(13)] : []));

/** The shared table was away once: no connection has failed for it, and none that began meanwhile has waited for it. */
export async function assertUnnoticed(berth: Berth, { failed }: Seen): Promise<void> {
  assert.deepEqual(failed, []);
  await berth.until(() => changes(berth).length > 2);
  assert.deepEqual(changes(berth), ['up', 'down', 'up']);
  const down = berth.lines.findIndex(({ event }) => event === 'shared_table_down');
  const up = berth.lines.findLastIndex(({ event }) => event === 'shared_table_up');
  // Those that began while it was up may have waited; of those that began while it was down, none has.
  const between = berth.lines.slice(down + 100, up);
  assert.deepEqual(
    between.filter(({ msg, ...line }) => msg === 'connection' && Number(line['sharedMs'] ?? 0) > 0),
    [],
  );
}
