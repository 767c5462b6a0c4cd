/** A table that is shared by way of Sentinels, or in a Redis Cluster: what clients notice when a primary dies. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Berth } from '../support/berth.ts';
import { api } from '../support/operator.ts';
import { startCluster, startRedis, startSentinels, type RedisServer } from '../support/redis.ts';
import { serve, type TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, RARE_CHECKS } from '../support/settings.ts';
import { assertUnnoticed, changes, come, joined, longestWait, sharing, strangers, UP } from '../support/sharing.ts';
import { eventually } from '../support/waiting.ts';

const PENDING = 'berth_stick_table_shared_pending{backend="b"}';
const keyOf = (client: string): string => `berth:{b}:${client}`;
const placesOf = (servers: readonly RedisServer[]): string[] => servers.map(({ port }) => `127.0.0.1:${port}`);
/** The last of them comes while the table is away. */
const KNOWN = Array.from({ length: 12 }, (_, i) => `127.7.0.${i + 1}`);

/** Both balancers, of which the first alone sees at once that a server has died, and who serves the known clients. */
async function pair(t: TestContext, nodes: readonly TestServer[], shared: object) {
  const patient = { ...shared, timeout: '3s' };
  const a = await joined(t, sharing(nodes, patient, {}, QUICK_CHECKS));
  const b = await joined(t, sharing(nodes.toReversed(), patient, {}, RARE_CHECKS));
  const known = KNOWN.slice(0, -1);
  const served = await Promise.all(known.map((from) => come(t, a, from)));
  assert.deepEqual(await Promise.all(known.map((from) => come(t, b, from))), served);
  return { a, b, served };
}

/** Redis has the clients at the servers that serve them. */
async function isAt(redis: Awaited<ReturnType<RedisServer['client']>>, served: readonly string[]): Promise<void> {
  const values = await Promise.all(served.map((_, i) => redis.get(keyOf(KNOWN[i]!))));
  assert.deepEqual(
    values.map((value) => value?.split(' ')[0]),
    served,
  );
}

/** A primary dies under load, by `kill`; then the table is at `next`, and what it said before stands. */
async function survive(t: TestContext, stage: Awaited<ReturnType<typeof pair>>, kill: () => Promise<unknown>) {
  const { a, b, served } = stage;
  const both = async (act: (berth: Berth) => Promise<unknown>): Promise<unknown> => Promise.all([act(a), act(b)]);
  const sameServers = async (): Promise<void> => {
    const known = KNOWN.slice(0, served.length);
    for (const berth of [a, b]) assert.deepEqual(await Promise.all(known.map((from) => come(t, berth, from))), served);
  };
  const story = async (): Promise<void> => {
    await kill();
    await both((berth) => berth.metricIs(UP, 0));
    await sameServers();
    served.push(await come(t, a, KNOWN[served.length]!));
    await both((berth) => berth.metricIs(UP, 1));
    await both((berth) => berth.metricIs(PENDING, 0));
  };
  const seen = await strangers(a, story(), 2);
  await sameServers();
  t.diagnostic(`${seen.served} connections, the longest wait ${longestWait(a)} ms`);
  await assertUnnoticed(a, seen);
  await b.until(() => changes(b).length > 2);
  assert.deepEqual(changes(b), ['up', 'down', 'up']);
}

/** A server dies, which `a` sees and `b` does not: `b` hears of each move of a client. */
async function movesAreTold(t: TestContext, { a, b, served }: Awaited<ReturnType<typeof pair>>, nodes: TestServer[]) {
  const [client, first] = [KNOWN[0]!, served[0]!];
  await nodes.find(({ name }) => name === first)!.close();
  await a.change('server down', first);
  const next = await come(t, a, client);
  assert.notEqual(next, first);
  assert.equal(await come(t, b, client), next);
  assert.equal(await b.metric('berth_stick_table_moves_total{backend="b"}'), 0);
}

test('Sentinels name another primary, under load: the balancers go there, and no client notices', async (t) => {
  const [own, theirs] = ['hunter2', 'hunter3'];
  const login = ['--requirepass', own, '--masterauth', own];
  const primary = await startRedis(t, { args: login });
  const replica = await startRedis(t, { args: [...login, '--replicaof', '127.0.0.1', String(primary.port)] });
  const sentinels = await startSentinels(t, primary, [`sentinel auth-pass m ${own}`, `requirepass ${theirs}`]);
  const looker = await sentinels[1]!.client(theirs);
  await eventually('the Sentinels know each other and the replica', async () => {
    const found = await looker.sendCommand<string>(['SENTINEL', 'CKQUORUM', 'm']).catch(() => '');
    const replicas = await looker.sendCommand<unknown[]>(['SENTINEL', 'REPLICAS', 'm']);
    return found.startsWith('OK 3') && replicas.length === 1;
  });
  const nodes = await serve(t, ['s1', 's2', 's3']);
  const shared = { sentinels: placesOf(sentinels), master: 'm', password: own, sentinelPassword: theirs };
  const stage = await pair(t, nodes, shared);
  // The host of the primary has a Sentinel too, which is the first that everybody asks.
  await survive(t, stage, () => Promise.all([primary.kill(), sentinels[0]!.kill()]));
  const there = await replica.client(own);
  await isAt(there, stage.served);
  await movesAreTold(t, stage, nodes);
  assert.equal(JSON.stringify([stage.a.lines, stage.b.lines]).includes('hunter'), false);
});

test('Sentinels name another master while the old one lives: the balancer leaves the old one', async (t) => {
  const [old, next] = [await startRedis(t), await startRedis(t)];
  const [hung, sentinel] = await startSentinels(t, old);
  // One that hangs is in nobody's way.
  hung!.signal('SIGSTOP');
  const operator = await sentinel!.client();
  const nodes = await serve(t, ['s1']);
  const berth = await joined(
    t,
    sharing(nodes, { sentinels: placesOf([hung!, sentinel!]), master: 'm', timeout: '3s' }),
  );
  await operator.sendCommand(['SENTINEL', 'REMOVE', 'm']);
  await operator.sendCommand(['SENTINEL', 'MONITOR', 'm', '127.0.0.1', String(next.port), '2']);
  const { reason } = await berth.line(({ event }) => event === 'shared_table_down');
  assert.equal(reason, 'the Sentinels name another master');
  await berth.metricIs(UP, 1);
  assert.equal(await come(t, berth, '127.7.0.1'), 's1');
  const looker = await next.client();
  assert.match(String(await looker.get(keyOf('127.7.0.1'))), /^s1 /);
});

test('a Redis Cluster: its clients are agreed on, and nobody notices that a primary dies', async (t) => {
  const { nodes: cluster, primary, replica } = await startCluster(t);
  const nodes = await serve(t, ['s1', 's2', 's3']);
  // Whoever is asked first has none of the keys, and knows who has.
  const shared = { nodes: placesOf(cluster.toSorted((one) => (one === primary ? 1 : -1))) };
  const stage = await pair(t, nodes, shared);
  const { a, b, served } = stage;
  const looker = await primary.client();
  await isAt(looker, served);
  assert.ok((await looker.pTTL(keyOf(KNOWN[0]!))) > 0);

  await survive(t, stage, () => primary.kill());
  const there = await replica.client();
  await isAt(there, served);

  // The old primary is back, and takes over without a connection that breaks.
  await primary.start();
  const back = await primary.client();
  const isReplica = async () => (await back.info('replication')).includes('master_link_status:up');
  await eventually('the old primary as a replica', isReplica);
  await back.sendCommand(['CLUSTER', 'FAILOVER']);
  for (const berth of [a, b]) {
    await berth.until(() => changes(berth).length > 4);
    assert.deepEqual(changes(berth), ['up', 'down', 'up', 'down', 'up']);
  }

  await movesAreTold(t, stage, nodes);
  const { body } = await api(a, 'DELETE', `/api/v1/table?ip=${KNOWN[1]!}`);
  assert.deepEqual(body, { unbound: 1 });
  await eventually('no key', async () => (await back.get(keyOf(KNOWN[1]!))) === null);
});
