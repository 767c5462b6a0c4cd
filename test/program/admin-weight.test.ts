/** The weight that an operator gives a server. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { change, command, reload, serverStatus } from '../support/operator.ts';
import { clients, places } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { QUICK_CHECKS, RARE_CHECKS, settings } from '../support/settings.ts';

const count = (all: readonly string[], name: string): number => all.filter((one) => one === name).length;

test('an operator gives a server another share of new clients, and bound clients stay', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1', 's2'])));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const { before, server, moves } = await change(berth, 's1', { weight: 3 });
  assert.deepEqual([before, server.weight, server.configuredWeight, moves], [{ state: 'ready', weight: 1 }, 3, 1, 0]);
  assert.equal(await berth.metric('berth_server_weight{backend="b",server="s1"}'), 3);
  const line = await berth.line(({ event }) => event === 'server_weight');
  assert.deepEqual([line['backend'], line['server'], line['weight'], line['before']], ['b', 's1', 3, 1]);
  const fresh = Array.from({ length: 8 }, (_, i) => `127.0.9.${i + 1}`);
  assert.equal(count(await places(port, fresh), 's1'), 6);
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);

  const none = await change(berth, 's1', { weight: 0 });
  assert.deepEqual([none.before.weight, none.server.weight, none.server.usable], [3, 0, true]);
  const more = Array.from({ length: 4 }, (_, i) => `127.0.10.${i + 1}`);
  assert.equal(count(await places(port, more), 's1'), 0);
  assert.deepEqual(await places(port, clients(1)), ['s1'], 'its client keeps it');
  assert.equal((await change(berth, 's1', { weight: 1 })).server.weight, 1);
});

test('state and weight change together, and a dry run changes neither', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1', 's2'])));
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);
  const seen = berth.lines.length;
  const tried = await change(berth, 's1', { state: 'maint', weight: 7 }, '?dryRun=true');
  assert.deepEqual([tried.before, tried.moves], [{ state: 'ready', weight: 1 }, 1]);
  assert.deepEqual([tried.server.state, tried.server.weight], ['ready', 1]);
  const done = await change(berth, 's1', { state: 'maint', weight: 7 }, '?dryRun=false');
  assert.deepEqual([done.before, done.moves], [tried.before, tried.moves]);
  assert.deepEqual([done.server.state, done.server.weight], ['maint', 7]);
  await berth.line(({ event }) => event === 'operator', seen);
  assert.deepEqual(
    berth.lines.slice(seen).flatMap(({ event }) => (event === 'connection' ? [] : [event])),
    ['server_state', 'server_weight', 'operator'],
  );
  assert.equal((await change(berth, 's1', { state: 'maint' })).moves, 0, 'its clients had lost it before');
});

test('maint says how many clients lose a server that is down, drain that they move because it is down', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  const berth = await start(t, settings(servers, QUICK_CHECKS, admin));
  assert.deepEqual(await places(await berth.port(), clients(2)), ['s1', 's2']);
  await servers[0]!.close();
  await berth.change('server down', 's1');
  assert.equal((await change(berth, 's1', { state: 'drain' }, '?dryRun=true')).moves, 0, 'none by that');
  assert.equal((await change(berth, 's1', { state: 'maint' }, '?dryRun=true')).moves, 1, 'even if it comes up again');
  const drain = await command('drain', 'b/s1', '-c', berth.file);
  assert.match(drain.out, /^s1 is drain; 0 connections open; it is down \(.*refused.*\): 1 client to be moved\n$/);
  const maint = await command('maint', 'b/s1', '-c', berth.file);
  assert.match(maint.out, /^s1 is maint; 0 connections open; 1 client to be moved; it is down \(.*refused.*\)\n$/);
});

test('the weight stays over reloads and a restart, until another is configured', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const state = { state: { file: join(folderOf(t), 'state') } };
  const file = (weight: number): ReturnType<typeof settings> =>
    settings([{ address: servers[0]!.address, weight }, servers[1]!.address], RARE_CHECKS, state);
  const weights = async (berth: Parameters<typeof serverStatus>[0]): Promise<(number | undefined)[]> => {
    const { weight, configuredWeight } = (await serverStatus(berth, 's1')) ?? {};
    return [weight, configuredWeight];
  };
  const first = await start(t, file(2));
  await change(first, 's1', { weight: 5 });
  await reload(first);
  assert.deepEqual(await weights(first), [5, 2], 'after a reload without a change');
  await reload(first, settings([{ name: 's2', address: servers[1]!.address }], RARE_CHECKS, state));
  await reload(first, file(2));
  assert.deepEqual(await weights(first), [5, 2], 'after its server had left');
  first.signal('SIGTERM');
  assert.equal(await first.exitCode(), 0);

  const second = await start(t, file(2));
  assert.deepEqual(await weights(second), [5, 2], 'after a restart');
  await reload(second, file(3));
  assert.deepEqual(await weights(second), [3, 3], 'another one is configured');
  await reload(second, file(2));
  assert.deepEqual(await weights(second), [2, 2], 'what was said before is forgotten');
  await change(second, 's1', { weight: 9 });
  second.signal('SIGTERM');
  assert.equal(await second.exitCode(), 0);

  const third = await start(t, file(4));
  assert.deepEqual(await weights(third), [4, 4], 'a restart with another one');
});
