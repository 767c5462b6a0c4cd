/** Servers that leave and come back under their names, by DNS or by a reload. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test, type TestContext } from 'node:test';
import { type Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { type DnsServer, NO_DNS, resolver } from '../support/dns.ts';
import { noSeriesOf, seriesOf } from '../support/leftovers.ts';
import { explain, explainAway, reload, serverStatus, setState, status } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { echoes, serve, TestServer } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const BOB = '127.0.7.2';
const QUESTION = 'A r.test';

/** The names of the servers of backend `b`. */
const members = async (berth: Berth): Promise<string[]> =>
  (await status(berth)).backends[0]!.servers.map(({ name }) => name).toSorted();

/** What is known of Bob's server, and of Bob. */
async function known(berth: Berth, server: string): Promise<object> {
  const sample = (name: string): Promise<number | undefined> =>
    berth.metric(`berth_server_${name}{backend="b",server="${server}"}`);
  return {
    state: (await serverStatus(berth, server))?.state,
    bob: (await explainAway(berth, BOB)).server,
    connections: await sample('connections_total'),
    in: await sample('bytes_in_total'),
    out: await sample('bytes_out_total'),
    clients: await sample('stick_entries'),
  };
}

/** Two servers that DNS has found. Bob is bound to `his`, which is drained. The next question waits for its answer. */
type Found = {
  readonly berth: Berth;
  readonly port: number;
  readonly dns: DnsServer;
  readonly his: TestServer;
  readonly other: TestServer;
  /** How Berth calls Bob's server. */
  readonly name: string;
};

async function found(t: TestContext): Promise<Found> {
  const { dns, through } = await resolver(t);
  const servers = [new TestServer('a', echoes), new TestServer('b', echoes)];
  for (const server of servers) {
    server.port = servers[0]!.port;
    await server.open();
    t.after(() => server.close());
  }
  dns.addresses('r.test', ...servers.map(({ host }) => host));
  const file = settings([{ name: 'r', address: `dns:r.test:${servers[0]!.port}` }], { resolveInterval: '100ms' });
  const berth = await start(t, file, { through });
  await eventually('both servers', async () => (await members(berth)).length === 2);
  const port = await berth.port();
  const [his, other] = (await whoServes(port, BOB)) === 'a' ? servers : servers.toReversed();
  assert.equal(await whoServes(port, BOB), his!.name);
  const name = `r-${his!.address}`;
  await setState(berth, name, 'drain');
  dns.hold(QUESTION);
  await dns.waits(QUESTION);
  return { berth, port, dns, his: his!, other: other!, name };
}

/** Answers the question that waits. The next question says that the balancer has heard the answer. */
async function answer({ dns }: Found, ...servers: readonly TestServer[]): Promise<void> {
  dns.addresses('r.test', ...servers.map(({ host }) => host));
  dns.letGo(QUESTION);
  await dns.waits(QUESTION);
}

describe('a server that DNS has found', { skip: NO_DNS }, () => {
  test('stays while no two answers in a row lack its address', async (t) => {
    const it = await found(t);
    const { berth, port, his, other, name } = it;
    const before = await known(berth, name);
    const all = await members(berth);
    for (let round = 0; round < 3; round++) {
      await answer(it, other);
      assert.deepEqual(await members(berth), all, 'after an answer without its address');
      assert.deepEqual(await known(berth, name), before);
      await answer(it, other, his);
      assert.deepEqual(await members(berth), all, 'after an answer with its address');
      assert.deepEqual(await known(berth, name), before);
    }
    assert.equal(await whoServes(port, BOB), his.name);
    assert.equal(await whoServes(port, '127.0.7.9'), other.name, 'his server is drained');
  });

  test('goes after two answers without its address, and comes back as it was', async (t) => {
    const it = await found(t);
    const { berth, port, his, other, name } = it;
    const before = await known(berth, name);
    await answer(it, other);
    await answer(it, other);
    assert.deepEqual(await members(berth), [`r-${other.address}`]);
    assert.deepEqual(await seriesOf(berth, name), []);
    await answer(it, other);
    await answer(it, other, his);
    assert.deepEqual(await known(berth, name), before);
    assert.equal(await whoServes(port, BOB), his.name);
    assert.equal(await whoServes(port, '127.0.7.9'), other.name, 'his server is drained');
  });

  test('does not get back the clients that came while it was away', async (t) => {
    const it = await found(t);
    const { berth, port, his, other, name } = it;
    await answer(it, other);
    await answer(it, other);
    assert.equal(await whoServes(port, BOB), other.name);
    await answer(it, other, his);
    assert.equal((await serverStatus(berth, name))?.state, 'drain');
    assert.equal(await whoServes(port, BOB), other.name, 'he has moved');
  });

  test('whose state is maint has it still when it comes back', async (t) => {
    const it = await found(t);
    const { berth, port, his, other, name } = it;
    await setState(berth, name, 'maint');
    await answer(it, other);
    await answer(it, other);
    await answer(it, other, his);
    assert.equal((await serverStatus(berth, name))?.state, 'maint');
    assert.equal(await whoServes(port, BOB), other.name);
  });
});

test('a server that a reload removes and another brings back has its state, bindings and counters again', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const [s1] = servers;
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  assert.equal(await whoServes(port, '127.0.7.1'), 's1');
  assert.equal(await whoServes(port, BOB), 's2');
  const open = new Client({ port, from: '127.0.7.3' });
  assert.equal(await open.line(), 's3');
  await setState(berth, 's2', 'drain');
  await setState(berth, 's3', 'maint');
  const before = await known(berth, 's2');
  for (let round = 0; round < 2; round++) {
    assert.equal((await reload(berth, settings([s1!]))).msg, 'reloaded');
    assert.deepEqual(await members(berth), ['s1']);
    assert.deepEqual(await seriesOf(berth, 's2'), []);
    assert.equal((await reload(berth, settings(servers))).msg, 'reloaded');
    assert.deepEqual(await known(berth, 's2'), before);
  }
  assert.equal(await whoServes(port, BOB), 's2');
  assert.equal((await serverStatus(berth, 's3'))?.state, 'maint');
  assert.equal(
    await berth.metric('berth_server_connections{backend="b",server="s3"}'),
    1,
    'the connection that stands',
  );
  open.socket.write('still here');
  await open.bytes('s3\nstill here'.length);
  await open.finish();
  await berth.metricIs('berth_server_connections{backend="b",server="s3"}', 0);
  assert.equal(await berth.metric('berth_server_connections_total{backend="b",server="s3"}'), 1);
});

test('a server that comes back later than the table’s expire is new', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const short = { stickTable: { expire: '200ms' } };
  const berth = await start(t, settings(servers, short));
  const port = await berth.port();
  assert.equal(await whoServes(port, '127.0.7.1'), 's1');
  assert.equal(await whoServes(port, BOB), 's2');
  await berth.connections(2);
  await setState(berth, 's2', 'maint');
  assert.equal((await reload(berth, settings([servers[0]!], short))).msg, 'reloaded');
  await noSeriesOf(berth, 's2');
  // Ten times the expire, and longer than the second between two looks at what has run out.
  await sleep(2_000);
  assert.equal((await reload(berth, settings(servers, short))).msg, 'reloaded');
  assert.equal((await serverStatus(berth, 's2'))?.state, 'ready');
  assert.equal(await berth.metric('berth_server_connections_total{backend="b",server="s2"}'), 0);
  assert.equal((await explain(berth, BOB)).server, null);
});
