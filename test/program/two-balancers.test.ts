/** Two balancers with `balance: source` and a stick table each: when they send a client to one server, and when not. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { clients, places } from '../support/people.ts';
import { refusing, serve, type TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings, type Given } from '../support/settings.ts';

const PEOPLE = clients(40);

const named = (servers: readonly TestServer[]): { name: string; address: string }[] =>
  servers.map(({ name, address }) => ({ name, address }));

/** Two balancers; each of `files` is one's servers. */
async function pair(
  t: TestContext,
  files: readonly [readonly Given[], readonly Given[]],
  backend: object = {},
): Promise<[Berth, Berth]> {
  const [one, other] = files.map((servers) =>
    start(t, settings(servers, { balance: 'source', ...QUICK_CHECKS, ...backend })),
  );
  return [await one!, await other!];
}

const placesOf = async (berth: Berth, people = PEOPLE): Promise<string[]> => places(await berth.port(), people);

/** Clients whom the two send to different servers. */
async function split([one, other]: readonly [Berth, Berth], people = PEOPLE): Promise<string[]> {
  const [here, there] = [await placesOf(one, people), await placesOf(other, people)];
  return people.filter((_, i) => here[i] !== there[i]);
}

test('with the same servers and the same health they agree on every client, in whatever order the files name them', async (t) => {
  const servers = named(await serve(t, ['s1', 's2', 's3', 's4']));
  const both = await pair(t, [servers, servers.toReversed()]);
  assert.deepEqual(await split(both), []);
  assert.equal(new Set(await placesOf(both[0])).size, 4, 'and all servers have clients');
});

test('they go by the names of servers: a node that is called otherwise has other clients', async (t) => {
  const nodes = named(await serve(t, ['s1', 's2', 's3']));
  const renamed = nodes.map((node) => (node.name === 's3' ? { ...node, name: 'node3' } : node));
  assert.notDeepEqual(await split(await pair(t, [nodes, renamed])), []);
});

test('a server that is down for both moves its own clients alone, to the same servers', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3', 's4']);
  const both = await pair(t, [named(servers), named(servers)]);
  const before = await placesOf(both[0]);
  await servers[0]?.close();
  for (const berth of both) await berth.change('server down', 's1');
  const after = await placesOf(both[0]);
  assert.deepEqual(after.filter((name, i) => name !== before[i]).length, before.filter((name) => name === 's1').length);
  assert.deepEqual(await split(both), []);
});

test('a server that is down for one of them splits its clients, and no others', async (t) => {
  const servers = named(await serve(t, ['s1', 's2', 's3', 's4']));
  const elsewhere = await refusing();
  const unreached = servers.map((server) => (server.name === 's1' ? { ...server, address: elsewhere } : server));
  const both = await pair(t, [servers, unreached]);
  await both[1].change('server down', 's1');
  const found = await placesOf(both[0]);
  const own = PEOPLE.filter((_, i) => found[i] === 's1');
  assert.ok(own.length > 0);
  assert.deepEqual(await split(both), own);
});

for (const failback of ['stay', 'return'] as const) {
  const what =
    failback === 'stay' ? 'is split when that server is back' : 'is not, when it returns to its first server';
  test(`a client that one of them has moved from a dead server ${what} (failback: ${failback})`, async (t) => {
    const servers = await serve(t, ['s1', 's2', 's3', 's4']);
    const both = await pair(t, [named(servers), named(servers)], { stickTable: { failback } });
    const before = await placesOf(both[0]);
    const own = PEOPLE.filter((_, i) => before[i] === 's1');
    await servers[0]?.close();
    for (const berth of both) await berth.change('server down', 's1');
    await placesOf(both[0], own);
    await servers[0]?.open();
    for (const berth of both) await berth.change('server up', 's1');
    assert.deepEqual(await split(both), failback === 'stay' ? own : []);
  });
}
