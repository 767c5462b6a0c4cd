/** `berth events`: the log's events, followed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { BERTH_WORDS, start, type Berth } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { follow } from '../support/following.ts';
import { command, setState } from '../support/operator.ts';
import { serve } from '../support/servers.ts';
import { settings, type Settings } from '../support/settings.ts';

async function stand(t: TestContext): Promise<{ berth: Berth; file: string; config: Settings }> {
  const folder = folderOf(t);
  const rest = { admin: { bind: `unix:${join(folder, 'admin.sock')}` }, timeouts: { drain: '1s' } };
  const config = settings(await serve(t, ['s1', 's2']), { healthCheck: false }, rest);
  const file = join(folder, 'balancer.yml');
  return { berth: await start(t, config, { file }), file, config };
}

test('events are lines for people, without colours on a pipe, first the last ones and then each as it happens', async (t) => {
  const { berth, file } = await stand(t);
  const events = follow(t, 'events', '-c', file);
  await events.says(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}started/m);
  await setState(berth, 's2', 'drain');
  await events.says(/server=s2 .*state=drain|state=drain.*server=s2/);
  assert.doesNotMatch(events.out, /[^\n\P{Cc}]/u);
  assert.equal(await events.stop('SIGINT'), 'SIGINT');
  assert.equal(events.err, '');
});

test('--json is the lines of the log as they are, --only the events that are named, --recent how many of the past', async (t) => {
  const { berth, file } = await stand(t);
  await setState(berth, 's1', 'drain');
  const events = follow(t, 'events', '--json', '--only', 'server_state', '--recent', '500', '-c', file);
  await events.says(/\n/);
  await setState(berth, 's1', 'ready');
  await events.says(/\n.*\n/);
  const lines = events.out.trimEnd().split('\n');
  const said = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    said.map(({ event, server, state }) => [event, server, state]),
    [
      ['server_state', 's1', 'drain'],
      ['server_state', 's1', 'ready'],
    ],
  );
  const none = follow(t, 'events', '--recent', '0', '--json', '--only', 'server_state', '-c', file);
  // Who listens is known by the next event alone.
  await berth.metricIs('berth_server_up{backend="b",server="s1"}', 1);
  for (let state = 'drain'; none.out === ''; state = state === 'drain' ? 'ready' : 'drain') {
    await setState(berth, 's2', state);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.match(none.out, /^[^\n]*"server":"s2"/);
});

test('a balancer that goes and comes back is said on standard error, and no event of the new one is missed', async (t) => {
  const { berth, file, config } = await stand(t);
  const events = follow(t, 'events', '--json', '-c', file);
  await events.says(/"event":"started"/);
  berth.signal('SIGTERM');
  await berth.exitCode();
  await events.says(/^berth: the balancer has gone away; waiting for it to come back\n$/, 'err');
  await start(t, config, { file });
  await events.says(/^berth: the balancer is back\n/m, 'err');
  await events.says(/"event":"started"(.|\n)*"event":"started"/);
  assert.equal(events.out.match(/"event":"started"/g)?.length, 2);
});

test('an event that does not exist is one line and exit 1, a count that is none is exit 2', async (t) => {
  const { file } = await stand(t);
  const unknown = await command('events', '--only', 'server_dwon', '-c', file);
  assert.deepEqual([unknown.code, unknown.out], [1, '']);
  assert.match(unknown.err, /^berth: [^\n]*server_dwon\. Did you mean "server_down"\?\n$/);
  const wrong = await command('events', '--recent', 'all', '-c', file);
  assert.deepEqual([wrong.code, wrong.err], [2, 'berth: --recent takes a number up to 500. See berth events --help\n']);
});

test('a reader that has seen enough ends it, quietly', async (t) => {
  const { berth, file } = await stand(t);
  const script = `${BERTH_WORDS} events -c "$0" | head -n 1; echo "\${PIPESTATUS[0]}"`;
  // The pipe is found closed by the next line alone.
  const timer = setInterval(() => void setState(berth, 's1', 'drain'), 100);
  t.after(() => clearInterval(timer));
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script, file]);
  clearInterval(timer);
  assert.match(stdout, /^[^\n]+\n0\n$/);
  assert.equal(stderr, '');
});
