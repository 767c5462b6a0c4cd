/** What operators say of servers, shared by real balancers in a real Redis. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { change, command, explain, reload, serverStatus, setState, type ServerStatus } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { serve, type TestServer } from '../support/servers.ts';
import { RARE_CHECKS, settings, type Settings } from '../support/settings.ts';
import { SharedRedis, SimulatedClock } from '../support/shared-redis.ts';
import { joined, twoSessions, UP } from '../support/sharing.ts';
import { eventually } from '../support/waiting.ts';

const PENDING = 'berth_stick_table_shared_pending{backend="b"}';

type More = { readonly sharedStates?: boolean; readonly login?: string; readonly top?: object };

/** A balancer of this name; with time for an answer, since on a busy machine Redis is late for no fault of its own. */
function sharing(
  servers: readonly TestServer[],
  redis: RedisServer,
  name: string,
  { sharedStates = true, login = '', top = {} }: More = {},
): Settings {
  const given = servers.map(({ name: server, address }) => ({ name: server, address }));
  const shared = { url: `redis://${login}127.0.0.1:${redis.port}`, timeout: '3s', name };
  return settings(given, { stickTable: { shared, sharedStates }, ...RARE_CHECKS }, top);
}

/** Where commands find it. */
const reachable = (t: TestContext): More => ({ top: { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } } });

const becomes = (berth: Berth, server: string, state: string): Promise<ServerStatus> =>
  eventually(`${server} to be ${state}`, async () => {
    const row = await serverStatus(berth, server);
    return row?.state === state && row;
  });

test('drain at one balancer is drain at the other, with who, where and when; one that shares no states goes on', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const [a, b] = [
    await joined(t, sharing(nodes, redis, 'a')),
    await joined(t, sharing(nodes.toReversed(), redis, 'b', reachable(t))),
  ];
  const alone = await joined(t, sharing(nodes, redis, 'c', { sharedStates: false }));
  assert.equal(await whoServes(await b.port(), '127.8.0.1'), 's2');
  const said = await change(a, 's2', { state: 'drain', weight: 3 });
  assert.equal(said.shared, true);
  const { stateWho, stateBy, stateSince } = await becomes(b, 's2', 'drain');
  assert.deepEqual([stateWho, stateBy, stateSince], [said.server.stateWho, 'a', said.server.stateSince]);
  await eventually('the weight', async () => (await serverStatus(b, 's2'))?.weight === 3);
  const line = await b.change('server state', 's2');
  assert.deepEqual(
    [line['state'], line['before'], line['who'], line['by'], line['since']],
    ['drain', 'ready', stateWho, 'a', stateSince],
  );
  const { order } = await explain(b, '127.8.0.1');
  assert.equal(order, `${stateWho} put s2 in drain at a, ${stateSince}`);
  const { out } = await command('status', '-c', b.file);
  assert.match(out, /shared table and states/);
  assert.match(out, new RegExp(`drain by ${stateWho} at a, .* ago`));
  assert.equal(await whoServes(await b.port(), '127.8.0.1'), 's2', 'its clients stay');
  for (let i = 2; i < 6; i++) assert.equal(await whoServes(await b.port(), `127.8.0.${i}`), 's1');

  await setState(b, 's2', 'ready');
  assert.equal((await becomes(a, 's2', 'ready')).stateBy, 'b');
  await setState(alone, 's1', 'maint');
  await setState(a, 's1', 'drain');
  await becomes(b, 's1', 'drain');
  const own = await serverStatus(alone, 's1');
  assert.deepEqual([own?.state, own?.stateBy], ['maint', null]);
  await alone.change('server state', 's1');
  assert.equal(alone.lines.filter(({ event }) => event === 'server_state').length, 1);
});

test('what is said while Redis is away counts here at once, and there when it is back; the later word stands', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2', 's3']);
  const looker = await redis.client();
  const everything = ['~*', '&*', '+@all'];
  await looker.sendCommand(['ACL', 'SETUSER', 'a', 'on', '>hunter2', ...everything]);
  const a = await joined(t, sharing(nodes, redis, 'a', { login: 'a:hunter2@', ...reachable(t) }));
  const b = await joined(t, sharing(nodes, redis, 'b'));
  await setState(a, 's3', 'maint');
  await becomes(b, 's3', 'maint');
  await looker.sendCommand(['ACL', 'SETUSER', 'a', 'off']);
  await looker.sendCommand(['CLIENT', 'KILL', 'USER', 'a']);
  await a.metricIs(UP, 0);
  assert.deepEqual((await change(a, 's1', { state: 'drain' })).shared, false);
  await change(a, 's2', { state: 'drain' });
  assert.equal((await serverStatus(a, 's1'))?.state, 'drain');
  const { out } = await command('maint', 'b/s2', '-c', a.file);
  assert.match(out, /s2 is maint; .*; the other balancers have not heard of it/);
  assert.equal((await change(b, 's2', { state: 'drain' })).shared, true, 'later');
  assert.equal(await a.metric(PENDING), 2);
  await looker.sendCommand(['ACL', 'SETUSER', 'a', 'on']);
  await a.metricIs(UP, 1);
  await becomes(b, 's1', 'drain');
  assert.equal((await becomes(a, 's2', 'drain')).stateBy, 'b');
  const line = await a.line(({ event, by }) => event === 'server_state' && by === 'b');
  assert.deepEqual([line['server'], line['before'], line['state']], ['s2', 'maint', 'drain']);
  await a.metricIs(PENDING, 0);
  const reconciled = (result: string) =>
    a.metric(`berth_stick_table_shared_reconciled_total{backend="b",result="${result}"}`);
  assert.deepEqual([await reconciled('won'), await reconciled('followed')], [1, 1]);

  // Redis itself is gone, and comes back empty: whoever knows what was said writes it.
  await redis.kill();
  await a.metricIs(UP, 0);
  await b.metricIs(UP, 0);
  await redis.start();
  await b.metricIs(UP, 1);
  const fresh = await redis.client();
  const said = async () => (await fresh.hGet('berth:{b}:servers', 's3 state')) ?? '';
  await eventually('what was said', async () => /^\d+ maint \S+ a$/.test(await said()));
  for (const berth of [a, b]) assert.equal((await serverStatus(berth, 's3'))?.state, 'maint');
});

test('a balancer that starts has what was said last, whether its state file or another balancer says so', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const state = { file: join(folderOf(t), 'state'), interval: '1h' };
  const config = sharing(nodes, redis, 'a', { top: { state } });
  const [a, b] = [await joined(t, config), await joined(t, sharing(nodes, redis, 'b'))];
  await setState(a, 's1', 'drain');
  await setState(a, 's2', 'drain');
  await becomes(b, 's2', 'drain');
  a.signal('SIGTERM');
  assert.equal(await a.exitCode(), 0);
  await setState(b, 's2', 'ready');
  const after = await start(t, config);
  await after.line(({ event }) => event === 'state_restored');
  const rows = [await becomes(after, 's1', 'drain'), await becomes(after, 's2', 'ready')];
  assert.equal(rows[1]!.stateBy, 'b');

  // The file knows what Redis does not: it was said while Redis was away.
  await redis.kill();
  await after.metricIs(UP, 0);
  await setState(after, 's2', 'maint');
  after.signal('SIGTERM');
  assert.equal(await after.exitCode(), 0);
  await redis.start();
  const last = await start(t, config);
  await becomes(b, 's2', 'maint');
  assert.equal((await serverStatus(last, 's2'))?.state, 'maint');
});

test('drain --wait at one balancer ends when the other says ready; a reload begins and ends to share', async (t) => {
  const redis = await startRedis(t);
  const nodes = await serve(t, ['s1', 's2']);
  const [a, b] = [
    await joined(t, sharing(nodes, redis, 'a', reachable(t))),
    await joined(t, sharing(nodes, redis, 'b')),
  ];
  const client = new Client({ port: await a.port() });
  t.after(() => client.socket.destroy());
  const server = await client.line();
  const waiting = command('drain', `b/${server}`, '--wait', '-c', a.file);
  await becomes(b, server, 'drain');
  await setState(b, server, 'ready');
  const { code, err } = await waiting;
  assert.equal(code, 1);
  assert.match(err, /takes clients again: somebody has set it to ready/);

  await reload(b, sharing(nodes, redis, 'b', { sharedStates: false }));
  await setState(a, 's1', 'maint');
  await setState(b, 's2', 'drain');
  assert.equal((await serverStatus(b, 's1'))?.state, 'ready');
  await reload(b, sharing(nodes, redis, 'b'));
  await becomes(b, 's1', 'maint');
  assert.equal((await becomes(a, 's2', 'drain')).stateBy, 'b');
});

test('a user who may not use hashes shares bindings and no states, and is told so once', async (t) => {
  const redis = await startRedis(t);
  const looker = await redis.client();
  const rights = '~berth:* &berth:* +eval +get +set +del +pexpire +publish +subscribe +ping +hello +select'.split(' ');
  await looker.sendCommand(['ACL', 'SETUSER', 'berth', 'on', '>hunter2', ...rights]);
  const nodes = await serve(t, ['s1', 's2']);
  const given = nodes.map(({ name, address }) => ({ name, address }));
  const shared = { url: `redis://berth:hunter2@127.0.0.1:${redis.port}`, timeout: '3s', name: 'a' };
  const berth = await joined(t, settings(given, { stickTable: { shared, sharedStates: true }, ...RARE_CHECKS }));
  assert.equal((await change(berth, 's1', { state: 'drain' })).shared, false);
  const { reason } = await berth.line(({ event }) => event === 'shared_states_failed');
  assert.match(String(reason), /NOPERM|can't run this command/);
  assert.equal(await berth.metric(UP), 1);
  await looker.sendCommand(['ACL', 'SETUSER', 'berth', '+hget', '+hset', '+hgetall']);
  await berth.metricIs(PENDING, 0);
  assert.equal(berth.lines.filter(({ event }) => String(event).startsWith('shared_')).length, 2);
});

test('the model of Redis that states are tested against answers as Redis does', async (t) => {
  const redis = await startRedis(t);
  const looker = await redis.client();
  const { sessions, told } = await twoSessions(t, redis.url);
  const text = fc.constantFrom('', '1 drain unix a', '2 ready 10.0.0.1:5 b', 'what a stranger has written');
  const bid = fc.record({ field: fc.constantFrom('s1 state', 's1 weight', 's2 state'), from: text, to: text });
  const act = fc.tuple(fc.constantFrom(0, 1), fc.array(bid, { maxLength: 4 }));
  await fc.assert(
    fc.asyncProperty(fc.array(act), async (story) => {
      await looker.flushAll();
      told.length = 0;
      const model = new SharedRedis(new SimulatedClock());
      for (const [i, bids] of story) {
        const wanted = model.states('ab'[i]!, bids);
        assert.deepEqual(sorted(await sessions[i]!.states(bids)), sorted(wanted));
      }
      assert.deepEqual(await looker.pTTL('berth:{b}:servers'), model.fields.size > 0 ? -1 : -2);
      // A question of the listener's own is answered after what was told before.
      await sessions[0]!.states([]);
      assert.deepEqual(told, model.told);
    }),
    { numRuns: 60 },
  );
  // What is no hash is left alone until there is something to say.
  await looker.del('berth:{b}:servers');
  await looker.set('berth:{b}:servers', 'a text');
  assert.deepEqual(await sessions[0]!.states([]), new Map());
  assert.equal(await looker.get('berth:{b}:servers'), 'a text');
  const one = [{ field: 's1 state', from: '', to: '1 drain unix a' }];
  assert.deepEqual(await sessions[0]!.states(one), new Map([['s1 state', '1 drain unix a']]));
});

const sorted = (held: ReadonlyMap<string, string>): [string, string][] =>
  [...held].toSorted(([one], [other]) => (one < other ? -1 : 1));
