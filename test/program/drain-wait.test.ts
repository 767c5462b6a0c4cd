/** `berth drain --wait`: what an operator sees of a server that is taken out, and when it ends. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { command, reload, serverStatus, setState } from '../support/operator.ts';
import { hold } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';
import { Terminal } from '../support/terminal.ts';
import { eventually } from '../support/waiting.ts';

/** A balancer with one server, whose configuration file outlives it. */
async function stand(t: TestContext): Promise<{ berth: Berth; file: string; config: Settings }> {
  const folder = folderOf(t);
  const rest = { admin: { bind: `unix:${join(folder, 'admin.sock')}` }, timeouts: { drain: '1s' } };
  const config = settings(await serve(t, ['s1']), { healthCheck: false }, rest);
  const file = join(folder, 'balancer.yml');
  return { berth: await start(t, config, { file }), file, config };
}

const isState = (berth: Berth, state: string): Promise<boolean> =>
  eventually(`s1 to be ${state}`, async () => (await serverStatus(berth, 's1'))?.state === state);

test('it ends with 0 when no connection is left, with a line for each change on a pipe', async (t) => {
  const { berth, file } = await stand(t);
  const clients = [await hold(berth), await hold(berth)];
  const waiting = command('drain', 'b/s1', '--wait', '-c', file);
  await isState(berth, 'drain');
  for (const client of clients) await client.finish();
  const { code, out, err } = await waiting;
  assert.deepEqual([code, err], [0, '']);
  const lines = out.trimEnd().split('\n');
  assert.equal(lines.at(-1)?.replace(/after .*/, 'after …'), 'b/s1: no connection is left, after …');
  assert.ok(lines.length <= 4, out);
  assert.doesNotMatch(out, /\r|[^\n\P{Cc}]/u, 'redraws on a pipe');
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
});

test('where no connection is open it ends at once; --json is an object for each change', async (t) => {
  const { berth, file } = await stand(t);
  const none = await command('drain', 'b/s1', '--wait', '--json', '-c', file);
  assert.equal(none.code, 0);
  const { connections, queue, server } = JSON.parse(none.out) as Record<string, unknown>;
  assert.deepEqual([server, connections, queue], ['b/s1', 0, 0]);
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
});

test('--max ends it with 1: the server stays drained, and the message says so', async (t) => {
  const { berth, file } = await stand(t);
  await hold(berth);
  const { code, out, err } = await command('drain', 'b/s1', '--wait', '--max', '1s', '-c', file);
  assert.equal(code, 1);
  assert.match(out, /^b\/s1: 1 connection open, .* in, .* out, \d+ms\n$/);
  assert.equal(err, 'berth: b/s1 still has 1 connection after 1.0s; it stays drained\n');
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
});

test('a call that cannot mean anything exits 2; an unknown server is 1, and nothing is waited for', async (t) => {
  const { file } = await stand(t);
  const says = async (...args: string[]): Promise<unknown[]> => {
    const { code, err } = await command('drain', ...args, '-c', file);
    return [code, err];
  };
  const help = '. See berth drain --help\n';
  assert.deepEqual(await says('b/s1', '--max', '1s'), [
    2,
    `berth: --max says how long to wait, so it needs --wait${help}`,
  ]);
  assert.deepEqual(await says('b/s1', '--wait', '--max', 'soon'), [
    2,
    `berth: --max takes a duration such as 90s or 10m, not soon${help}`,
  ]);
  assert.equal((await says('b/s9', '--wait'))[0], 1);
});

test('whoever sets the server to ready meanwhile ends the wait with 1', async (t) => {
  const { berth, file } = await stand(t);
  await hold(berth);
  const waiting = command('drain', 'b/s1', '--wait', '-c', file);
  await isState(berth, 'drain');
  // It has been seen drained: the wait is under way.
  await setState(berth, 's1', 'ready');
  const { code, err } = await waiting;
  assert.equal(code, 1);
  assert.equal(err, 'berth: b/s1 takes clients again: somebody has set it to ready\n');
});

test('a reload does not end the wait, and a server that the file no longer names is waited for as well', async (t) => {
  const { berth, file, config } = await stand(t);
  const client = await hold(berth);
  const waiting = command('drain', 'b/s1', '--wait', '-c', file);
  await isState(berth, 'drain');
  await reload(berth);
  const { b } = config.backends;
  const [other] = await serve(t, ['s2']);
  await reload(berth, { ...config, backends: { b: { ...b, servers: { s2: other!.address } } } });
  await client.finish();
  const { code, out } = await waiting;
  assert.equal(code, 0, out);
});

test('a restart does not end the wait: a balancer that comes back without the drain drains again', async (t) => {
  const { berth, file, config } = await stand(t);
  const client = await hold(berth);
  const waiting = command('drain', 'b/s1', '--wait', '-c', file);
  await isState(berth, 'drain');
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  client.socket.destroy();
  // The file has gone with the folder of the first.
  writeFileSync(file, yaml(config));
  const second = await start(t, config, { file });
  await isState(second, 'drain');
  const { code, out } = await waiting;
  assert.equal(code, 0);
  assert.match(out, /the balancer has started anew, without the drain; it drains again\n/);
  assert.match(out, /no connection is left, after [^\n]+\n$/);
});

test('on a terminal the line changes in its place, and Ctrl-C leaves the server drained and exits 130', async (t) => {
  const { berth, file } = await stand(t);
  await hold(berth);
  const terminal = await Terminal.open(t, { env: { BERTH_CONFIG: file } });
  await terminal.run('clear; berth drain b/s1 --wait; echo code $?');
  await terminal.shows(/b\/s1: 1 connection open, .* 1\.\ds$/);
  const later = await terminal.shows(/b\/s1: 1 connection open, .* 2\.\ds$/);
  assert.equal(later.match(/connection open/g)?.length, 1, later);
  terminal.press('C-c');
  const end = await terminal.shows(/code \d+/);
  assert.match(end, /berth: b\/s1 has 1 connection; it stays drained\ncode 130/);
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
});
