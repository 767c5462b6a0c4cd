/** Which server a client is given, in the running program; the policies by themselves are in policies.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { reload, setState } from '../support/operator.ts';
import { come, hold, leave, somebody } from '../support/people.ts';
import { refusing, serve } from '../support/servers.ts';
import { QUICK_CHECKS, RARE_CHECKS, settings, type Given, type Settings } from '../support/settings.ts';

const passed = (name: string): string => `berth_server_checks_total{backend="b",server="${name}",result="passed"}`;
const tally = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries([...new Set(names)].toSorted().map((name) => [name, names.filter((one) => one === name).length]));

test('leastconn gives each client the server with the fewest connections, and equals in turn', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const berth = await start(t, settings(servers, { balance: 'leastconn' }));
  const held = [];
  for (let i = 0; i < 6; i++) held.push(await hold(berth));
  const answers = held.map(({ answered }) => answered);
  assert.deepEqual(tally(answers.slice(0, 3)), { s1: 1, s2: 1, s3: 1 });
  assert.deepEqual(tally(answers.slice(3)), { s1: 1, s2: 1, s3: 1 });
  for (const client of held.filter(({ answered }) => answered === 's2')) await leave(berth, client);
  assert.equal((await hold(berth)).answered, 's2', 's2 has none, the others two');
  assert.equal((await hold(berth)).answered, 's2', 's2 has one, the others two');
  const next = [await hold(berth), await hold(berth), await hold(berth)].map(({ answered }) => answered);
  assert.deepEqual(tally(next), { s1: 1, s2: 1, s3: 1 }, 'all have two');
});

test('leastconn goes by the weights', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const list = [
    { address: s1!.address, weight: 3 },
    { address: s2!.address, weight: 1 },
  ];
  const berth = await start(t, settings(list, { balance: 'leastconn' }));
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push((await hold(berth)).answered);
  assert.deepEqual(tally(answers), { s1: 9, s2: 3 });
});

test('random spreads held connections, since it takes the less loaded of two', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const berth = await start(t, settings(servers, { balance: 'random' }));
  const answers = [];
  for (let i = 0; i < 60; i++) answers.push((await hold(berth)).answered);
  const counts = tally(answers);
  // Far from it even for one in a million runs.
  for (const name of ['s1', 's2', 's3']) assert.ok((counts[name] ?? 0) >= 12, JSON.stringify(counts));
});

for (const stickTable of [false, { size: 1 }]) {
  test(`source gives each client its server by itself, and one that leaves moves only its own (stickTable: ${JSON.stringify(stickTable)})`, async (t) => {
    const servers = await serve(t, ['s1', 's2', 's3', 's4', 's5']);
    const config = (names: readonly string[]): Settings => {
      const there = servers.filter(({ name }) => names.includes(name));
      return settings(there, { balance: 'source', stickTable });
    };
    const all = servers.map(({ name }) => name);
    const berth = await start(t, config(all));
    const people = Array.from({ length: 60 }, somebody);
    const visits = async (): Promise<string[]> => {
      const answers = [];
      for (const who of people) answers.push(await come(berth, who));
      return answers;
    };
    const before = await visits();
    assert.deepEqual(Object.keys(tally(before)), all, 'every server has somebody');
    assert.deepEqual(await visits(), before);
    assert.equal((await reload(berth, config(all.filter((name) => name !== 's3')))).msg, 'reloaded');
    const without = await visits();
    for (const [i, name] of before.entries()) {
      if (name === 's3') assert.notEqual(without[i], 's3');
      else assert.equal(without[i], name);
    }
    assert.equal((await reload(berth, config(all))).msg, 'reloaded');
    assert.deepEqual(await visits(), before, 'they are back when it is');
  });
}

test('a heavier server is given its share in an even mixture, one of weight 0 nobody new', async (t) => {
  const [s1, s2, s3] = await serve(t, ['s1', 's2', 's3']);
  const list = (third: number): Given[] => [
    { address: s1!.address, weight: 2 },
    { address: s2!.address },
    { address: s3!.address, weight: third },
  ];
  const berth = await start(t, settings(list(1)));
  const bound = [somebody(), somebody(), somebody(), somebody()];
  const answers = [];
  for (const who of bound) answers.push(await come(berth, who));
  assert.deepEqual(answers, ['s1', 's2', 's3', 's1']);
  assert.equal((await reload(berth, settings(list(0)))).msg, 'reloaded');
  const next = [];
  for (let i = 0; i < 6; i++) next.push(await come(berth));
  assert.deepEqual(tally(next), { s1: 4, s2: 2 });
  assert.equal(await come(berth, bound[2]), 's3', 'who is bound to it goes on');
});

test('a backup is used while no primary is usable, and its clients return to their first server', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const [s1, s2, s3] = servers;
  const list = [s1!, s2!, { address: s3!.address, backup: true }];
  const berth = await start(t, settings(list, QUICK_CHECKS));
  const [anna, ben] = [somebody(), somebody()];
  assert.deepEqual([await come(berth, anna), await come(berth, ben), await come(berth)], ['s1', 's2', 's1']);

  await s1?.close();
  await berth.change('server down', 's1');
  assert.deepEqual([await come(berth, anna), await come(berth)], ['s2', 's2'], 's2 is there, so s3 is not');
  await s2?.close();
  await berth.change('server down', 's2');
  const carl = somebody();
  assert.deepEqual([await come(berth, anna), await come(berth, ben), await come(berth, carl)], ['s3', 's3', 's3']);

  const seen = berth.lines.length;
  await s2?.open();
  await berth.change('server up', 's2', seen);
  assert.deepEqual([await come(berth, ben), await come(berth, carl)], ['s2', 's2'], 'one primary is enough');
  await s1?.open();
  await berth.change('server up', 's1', seen);
  assert.equal(await come(berth, anna), 's1', 'her first server, not the one after it');
  assert.equal(await come(berth, carl), 's2', 'he had no other first');
});

test('a drained primary does not call its clients back from the backup, and a backup is no place for new ones then', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, { address: s2!.address, backup: true }]));
  const anna = somebody();
  assert.equal(await come(berth, anna), 's1');
  await setState(berth, 's1', 'drain');
  assert.deepEqual([await come(berth, anna), await come(berth)], ['s1', 's2'], 'who is bound stays');
  await setState(berth, 's1', 'maint');
  assert.equal(await come(berth, anna), 's2');
  await setState(berth, 's1', 'drain');
  assert.equal(await come(berth, anna), 's2');
  await setState(berth, 's1', 'ready');
  assert.deepEqual([await come(berth, anna), await come(berth)], ['s1', 's1']);
});

for (const [failback, home] of [
  ['stay', 's2'],
  ['return', 's1'],
] as const) {
  test(`failback: ${failback}: a client whose server is back is served by ${home === 's1' ? 'it' : 'the other'}`, async (t) => {
    const [s1, s2] = await serve(t, ['s1', 's2']);
    const berth = await start(t, settings([s1!, s2!], { ...QUICK_CHECKS, stickTable: { failback } }));
    const anna = somebody();
    assert.equal(await come(berth, anna), 's1');
    await s1?.close();
    await berth.change('server down', 's1');
    assert.deepEqual([await come(berth, anna), await come(berth, anna)], ['s2', 's2']);
    await s1?.open();
    await berth.change('server up', 's1');
    assert.deepEqual([await come(berth, anna), await come(berth, anna)], [home, home]);
    await s2?.close();
    await berth.change('server down', 's2');
    assert.equal(await come(berth, anna), 's1');
  });
}

test('slowStart: after a recovery the weight grows in a straight line, at the start it is whole', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const server = { address: s1!.address, weight: 100, slowStart: '1500ms' };
  const berth = await start(t, settings([server], QUICK_CHECKS));
  const weight = 'berth_server_weight{backend="b",server="s1"}';
  await berth.metricIs(passed('s1'), (count) => count >= 2);
  assert.equal(await berth.metric(weight), 100, 'not at the start');
  await s1?.close();
  await berth.change('server down', 's1');
  await s1?.open();
  const { time } = await berth.change('server up', 's1');
  const upMs = Date.parse(String(time));
  for (let share = 0; share < 100;) {
    const askedMs = Date.now();
    share = (await berth.metric(weight)) ?? 0;
    const heardMs = Date.now();
    const [least, most] = [askedMs, heardMs].map((ms) => Math.min(100, Math.max(1, (ms - upMs) / 15)));
    // Two clocks, one of which is read to the millisecond.
    assert.ok(share > (least ?? 0) - 1 && share < (most ?? 0) + 1, `${share} between ${least} and ${most}`);
  }
});

test('onServerDown: close ends the established connections of a server that goes down, as DD', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const rules = { ...QUICK_CHECKS, onServerDown: 'close' };
  const berth = await start(t, settings([s1!, s2!], rules));
  const [anna, ben] = [await hold(berth), await hold(berth)];
  s1?.refuse();
  await anna.ended;
  const [line] = await berth.connections(1);
  assert.deepEqual([line?.['end'], line?.['server']], ['DD', 's1']);
  ben.socket.write('still there?');
  await ben.bytes('s2\nstill there?'.length);
  assert.equal(await berth.metric('berth_backend_connections_ended_total{backend="b",end="DD"}'), 1);
});

test('onServerDown: keep lets them go on', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings([s1!, s2!], QUICK_CHECKS));
  const anna = await hold(berth);
  s1?.refuse();
  await berth.change('server down', 's1');
  anna.socket.write('still there?');
  await anna.bytes('s1\nstill there?'.length);
  assert.equal(await anna.finish(), 'end');
});

test('onServerDown: close does not end a client that is on its way: it gets another server', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const rules = { healthCheck: { interval: '1h', fastInterval: '1h', fall: 1 }, onServerDown: 'close' };
  const berth = await start(t, settings([s1!, s2!], rules));
  for (const name of ['s1', 's2']) await berth.metricIs(passed(name), 1);
  await s1?.close();
  // Its failed connect is what marks s1 down.
  const { answered, ...line } = await visit(berth, { port: await berth.port(), from: somebody() });
  assert.deepEqual([answered, line['via'], line['end']], ['s2', 'redispatched', '--']);
});

test('a reload that lowers `retries` ends a connection that has made more of them already', async (t) => {
  const nobody = [await refusing()];
  const config = (retries: number): Settings => settings(nobody, { healthCheck: false, retries });
  const berth = await start(t, config(100));
  const client = new Client({ port: await berth.port() });
  await berth.metricIs('berth_backend_retries_total{backend="b"}', 2);
  assert.equal((await reload(berth, config(1))).msg, 'reloaded');
  assert.equal(await client.ended, 'reset');
});

test('a client whose server has moved to another address by a reload is served there', async (t) => {
  const [old, fresh] = await serve(t, ['old', 'fresh']);
  const berth = await start(t, settings([old!.address], RARE_CHECKS));
  const anna = somebody();
  assert.equal(await come(berth, anna), 'old');
  assert.equal((await reload(berth, settings([fresh!.address], RARE_CHECKS))).msg, 'reloaded');
  assert.equal(await come(berth, anna), 'fresh');
});
