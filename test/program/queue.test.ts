/** A server with maxConnections, and who waits for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { reload, serversOf as status, setState } from '../support/operator.ts';
import { come, hold, leave, somebody } from '../support/people.ts';
import { blackhole, refusing, serve, type TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings, type Given } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const NO_CHECKS = { healthCheck: false };

const atMost = (maxConnections: number, server: TestServer | string | undefined): Given => {
  const address = typeof server === 'string' ? server : server!.address;
  return { address, maxConnections };
};
/** Who waits for one server, or for whichever has a place first. */
const queue = (server?: string): string =>
  server === undefined ? 'berth_backend_queue{backend="b"}' : `berth_server_queue{backend="b",server="${server}"}`;
const ended = (end: string): string => `berth_backend_connections_ended_total{backend="b",end="${end}"}`;

/** Connects, and waits: a new client in the backend's queue, one that is bound in its server's, which now has `length`. */
async function wait(berth: Berth, length: number, server?: string, from = somebody()): Promise<Client> {
  const client = new Client({ port: await berth.port(), from });
  await berth.metricIs(queue(server), length);
  return client;
}

/** Resolves when nobody is connected to a server, on the way to one, or waits for one. */
async function untilIdle(berth: Berth): Promise<void> {
  await eventually('no connection and no queue', async () => {
    const all = await status(berth);
    const newcomers = await berth.metric(queue());
    return newcomers === 0 && all.every(({ connections, queue: waiting }) => connections + waiting === 0);
  });
}

test('clients for whom there is no place wait, and are served in the order in which they came', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], NO_CHECKS));
  const anna = await hold(berth);
  const waiting = [await wait(berth, 1), await wait(berth, 2), await wait(berth, 3)];
  let before: Client = anna;
  for (const [i, client] of waiting.entries()) {
    assert.equal(s1?.sockets.size, 1);
    await before.finish();
    assert.equal(await client.line(), 's1');
    await berth.metricIs(queue(), 2 - i);
    before = client;
  }
  await leave(berth, before);
  const lines = await berth.connections(4);
  assert.equal(lines[0]?.['queueMs'], 0, 'who found a place did not wait');
  for (const line of lines.slice(1)) {
    assert.ok(Number(line['queueMs']) > 0, JSON.stringify(line));
    assert.deepEqual([line['end'], line['server'], line['via'], line['retries']], ['--', 's1', 'balanced', 0]);
  }
  await untilIdle(berth);
});

test('what a client sends while it waits reaches its server, and so does its end', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], NO_CHECKS));
  const anna = await hold(berth);
  const ben = await wait(berth, 1);
  ben.socket.end('said in the queue');
  await anna.finish();
  await ben.bytes('s1\nsaid in the queue'.length);
  assert.equal(await ben.ended, 'end');
});

test('a bound client waits for its server, a new one is given a server with room', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([atMost(1, s1), atMost(2, s2)], NO_CHECKS));
  const bound = somebody();
  assert.equal(await come(berth, bound), 's1');
  await untilIdle(berth);
  assert.equal(await come(berth), 's2');
  await untilIdle(berth);
  const holder = await hold(berth);
  assert.equal(holder.answered, 's1');
  const back = await wait(berth, 1, 's1', bound);
  assert.deepEqual([(await hold(berth)).answered, (await hold(berth)).answered], ['s2', 's2']);
  const full = new Client({ port: await berth.port(), from: somebody() });
  await berth.metricIs(queue(), 1);
  assert.equal(await berth.metric(queue('s1')), 1);
  await holder.finish();
  assert.equal(await back.line(), 's1');
  full.socket.resetAndDestroy();
});

test('who waits longer than timeouts.queue is turned away: sQ', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], NO_CHECKS, { timeouts: { queue: '300ms' } }));
  const anna = await hold(berth);
  const ben = new Client({ port: await berth.port(), from: somebody() });
  assert.equal(await ben.ended, 'reset');
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server'], line?.['connectMs']], ['sQ', undefined, undefined]);
  assert.ok(Number(line?.['queueMs']) >= 299, JSON.stringify(line));
  assert.equal(await berth.metric(ended('sQ')), 1);
  assert.equal(await berth.metric(queue()), 0);
  await anna.finish();
  await untilIdle(berth);
  assert.equal(await come(berth), 's1');
});

test('a client that leaves the queue is CQ, and the next one moves up', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], NO_CHECKS));
  const anna = await hold(berth);
  const [ben, carl] = [await wait(berth, 1), await wait(berth, 2)];
  ben.socket.resetAndDestroy();
  await berth.metricIs(queue(), 1);
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server']], ['CQ', undefined]);
  assert.ok(Number(line?.['queueMs']) > 0);
  await anna.finish();
  assert.equal(await carl.line(), 's1');
  await leave(berth, carl);
  await untilIdle(berth);
});

for (const how of ['goes down', 'is put in maint', 'leaves the configuration'] as const) {
  test(`the clients that wait for a server that ${how} are given another`, async (t) => {
    const [s1, s2] = await serve(t, ['s1', 's2']);
    const config = [atMost(1, s1), { address: s2!.address, weight: 0 }];
    const berth = await start(t, settings(config, QUICK_CHECKS));
    const anna = await hold(berth);
    const waiting = [await wait(berth, 1), await wait(berth, 2)];
    const open = [atMost(1, s1), s2!];
    assert.equal((await reload(berth, settings(open, QUICK_CHECKS))).msg, 'reloaded');
    if (how === 'goes down') s1?.refuse();
    else if (how === 'is put in maint') await setState(berth, 's1', 'maint');
    else assert.equal((await reload(berth, settings([s2!], QUICK_CHECKS))).msg, 'reloaded');
    for (const client of waiting) assert.equal(await client.line(), 's2');
    anna.socket.write('still there?');
    await anna.bytes('s1\nstill there?'.length);
    for (const client of [anna, ...waiting]) await leave(berth, client);
    await untilIdle(berth);
  });
}

test('where the only server goes down, those who wait are turned away: SC', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], QUICK_CHECKS));
  await hold(berth);
  const ben = await wait(berth, 1);
  s1?.refuse();
  await berth.change('server down', 's1');
  assert.equal(await ben.ended, 'reset');
  assert.equal((await berth.connections(1))[0]?.['end'], 'SC');
});

test('a drained server goes on with those who wait for it', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([atMost(1, s1), s2!], NO_CHECKS));
  const bound = somebody();
  assert.equal(await come(berth, bound), 's1');
  await untilIdle(berth);
  await come(berth);
  const anna = await hold(berth);
  assert.equal(anna.answered, 's1');
  const ben = await wait(berth, 1, 's1', bound);
  await setState(berth, 's1', 'drain');
  await anna.finish();
  assert.equal(await ben.line(), 's1');
});

test('a reload that raises maxConnections lets in who waits, one that lowers it ends nobody', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([atMost(1, s1)], NO_CHECKS));
  const anna = await hold(berth);
  const waiting = [await wait(berth, 1), await wait(berth, 2), await wait(berth, 3)];
  assert.equal((await reload(berth, settings([atMost(3, s1)], NO_CHECKS))).msg, 'reloaded');
  assert.deepEqual(await Promise.all(waiting.slice(0, 2).map((client) => client.line())), ['s1', 's1']);
  await berth.metricIs(queue(), 1);
  assert.equal((await reload(berth, settings([atMost(1, s1)], NO_CHECKS))).msg, 'reloaded');
  await leave(berth, anna);
  assert.equal(await berth.metric(queue()), 1, 'two are still there');
  for (const client of waiting.slice(0, 2)) await leave(berth, client);
  assert.equal(await waiting[2]?.line(), 's1');
});

test('a place that a failed connect, a reset or a timeout had comes free again, in whatever phase', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const list = [atMost(2, s1), atMost(2, await refusing()), atMost(2, await blackhole(t))];
  const times = { timeouts: { connect: '200ms', queue: '300ms' } };
  const berth = await start(t, settings(list, { ...NO_CHECKS, retries: 1 }, times));
  const port = await berth.port();
  const onEnd = (): void => {};
  const all = Array.from({ length: 90 }, (_, i) => {
    const client = new Client({ port, from: somebody() });
    if (i % 3 === 0) client.socket.resetAndDestroy();
    else if (i % 3 === 1) client.socket.once('connect', () => client.socket.resetAndDestroy());
    else void client.line().then(() => (i % 2 === 0 ? client.socket.end() : client.socket.resetAndDestroy()), onEnd);
    return client;
  });
  await Promise.all(all.map(({ ended: over }) => over));
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  await untilIdle(berth);
  assert.equal((await reload(berth, settings([atMost(1, s1)], NO_CHECKS))).msg, 'reloaded');
  assert.equal(await come(berth), 's1');
});
