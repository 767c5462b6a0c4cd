/** The commands as a person sees them: in a real terminal. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { command, setState } from '../support/operator.ts';
import { hold } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { Terminal } from '../support/terminal.ts';

/** A balancer with two servers, and a terminal in which `berth` commands find it. */
async function stand(t: TestContext, size: { columns?: number; rows?: number } = {}): Promise<[Berth, Terminal]> {
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  const berth = await start(t, settings(await serve(t, ['s1', 's2']), { healthCheck: false }, admin));
  return [berth, await Terminal.open(t, { ...size, env: { BERTH_CONFIG: berth.file } })];
}

test('on a terminal there are colours, on a pipe and with NO_COLOR there are none', async (t) => {
  const [, terminal] = await stand(t);
  await terminal.run('berth status');
  await terminal.shows(/REASON(.|\n)*s2(.|\n)*\$$/);
  assert.match(terminal.screen({ styled: true }), /\p{Cc}\[32mup/u);
  for (const plain of ['berth status | cat', 'NO_COLOR=1 berth status', 'TERM=dumb berth status']) {
    await terminal.run(`clear; ${plain}`);
    await terminal.shows(/HEALTH(.|\n)*s2(.|\n)*\$$/);
    assert.doesNotMatch(terminal.screen({ styled: true }), /\p{Cc}\[3\dm/u, plain);
  }
});

for (const [columns, there, away] of [
  [80, /SERVER +HEALTH +STATE/, /ADDRESS +HEALTH/],
  [200, /SERVER +ADDRESS +HEALTH +STATE +WEIGHT/, /…/],
] as const) {
  test(`status fits a terminal of ${columns} columns: no line is broken`, async (t) => {
    const [berth, terminal] = await stand(t, { columns, rows: 20 });
    await setState(berth, 's1', 'drain');
    await terminal.run('clear; berth status; echo end');
    const screen = await terminal.shows(/^end$/m);
    assert.match(screen, there);
    assert.doesNotMatch(screen, away);
    assert.match(screen, /^ {2}s1 .*drain/m);
    const servers = screen.split('\n').filter((line) => /^ {2}s\d/.test(line));
    assert.equal(servers.length, 2, 'a line for each server');
    assert.match(screen, /\n {2}s2[^\n]*\nend/);
  });
}

test('--watch shows it again and again, follows the size of the terminal, and leaves the terminal as it was', async (t) => {
  const [berth, terminal] = await stand(t);
  const folder = folderOf(t);
  await terminal.run(
    `echo before; stty -a >${folder}/before; berth status --watch; echo code $?; stty -a >${folder}/after`,
  );
  await terminal.shows(/every 2s; q ends(.|\n)*s2/);
  assert.deepEqual(terminal.modes(), { alternate: true, cursor: false, wrap: false });
  await setState(berth, 's2', 'maint');
  await terminal.shows(/s2 .* maint/);
  terminal.resize(160, 30);
  await terminal.shows(/SERVER +ADDRESS/);
  terminal.resize(80, 24);
  await terminal.shows(/SERVER +HEALTH/);
  terminal.press('C-c');
  const after = await terminal.shows(/code \d+\n\$$/);
  assert.match(after, /before\ncode 0\n\$$/);
  assert.deepEqual(terminal.modes(), { alternate: false, cursor: true, wrap: true });
  assert.equal(readFileSync(`${folder}/after`, 'utf8'), readFileSync(`${folder}/before`, 'utf8'));
});

/** A client that says something all the time: one that is quiet for ten seconds has no session. */
async function chat(t: TestContext, berth: Berth): Promise<void> {
  const client = await hold(berth, '127.0.7.1');
  const timer = setInterval(() => client.socket.write('.'), 200);
  t.after(() => clearInterval(timer));
}

/** Servers, the clients that hold them, and what has happened: the three parts of `top`. */
const TOP = /^ +s1 .*up(.|\n)*^ +127\.0\.7\.1(.|\n)*^last events\n(.|\n)*^ +\d\d:\d\d:\d\d\S* +INFO +\S/m;

for (const [key, code] of [
  ['q', 0],
  ['C-c', 0],
  ['SIGTERM', 143],
] as const) {
  test(`top leaves the terminal as it was on ${key}`, async (t) => {
    const [berth, terminal] = await stand(t);
    await chat(t, berth);
    const folder = folderOf(t);
    await terminal.run(`echo before; stty -a >${folder}/before; berth top; echo code $?; stty -a >${folder}/after`);
    const screen = await terminal.shows(TOP);
    assert.deepEqual(terminal.modes(), { alternate: true, cursor: false, wrap: false });
    assert.ok(screen.split('\n').every((line) => line.length <= 80));
    if (key === 'SIGTERM') process.kill(terminal.foreground(), 'SIGTERM');
    else terminal.press(key);
    assert.match(await terminal.shows(/code \d+\n\$$/), new RegExp(`before\ncode ${code}\n\\$$`));
    assert.deepEqual(terminal.modes(), { alternate: false, cursor: true, wrap: true });
    assert.equal(readFileSync(`${folder}/after`, 'utf8'), readFileSync(`${folder}/before`, 'utf8'));
  });
}

test('top follows the size of the terminal, sorts by a key, and comes back after Ctrl-Z', async (t) => {
  const [berth, terminal] = await stand(t, { columns: 200, rows: 40 });
  await chat(t, berth);
  await terminal.run('berth top');
  assert.match(await terminal.shows(TOP), /SERVER +ADDRESS +HEALTH/);
  terminal.resize(80, 24);
  await terminal.shows((screen) => TOP.test(screen) && /SERVER +HEALTH/.test(screen));
  assert.match(terminal.screen().trimEnd(), /q ends.*\(by name\).*$/);
  terminal.press('s');
  await terminal.shows(/^busy clients by connections \(of \d+\)(.|\n)*\(by connections\)/m);
  await setState(berth, 's2', 'drain');
  await terminal.shows(/^ +\S+ WARN +server state.*s2/m);
  terminal.press('C-z');
  await terminal.shows(/Stopped(.|\n)*\$$/);
  assert.deepEqual(terminal.modes(), { alternate: false, cursor: true, wrap: true });
  await terminal.run('fg');
  await terminal.shows(TOP);
  terminal.press('q');
  await terminal.shows(/\$$/);
});

test('top says that the balancer has gone, and goes on when there is one again', async (t) => {
  const folder = folderOf(t);
  const rest = { admin: { bind: `unix:${join(folder, 'admin.sock')}` } };
  const config = settings(await serve(t, ['s1']), { healthCheck: false }, rest);
  const file = join(folder, 'balancer.yml');
  const first = await start(t, config, { file });
  const terminal = await Terminal.open(t, { env: { BERTH_CONFIG: file } });
  await terminal.run('berth top');
  await terminal.shows(/^berth \S+ running/m);
  await first.stop();
  await terminal.shows(/cannot reach the admin address(.|\n)*the balancer has gone away/);
  await start(t, config, { file });
  await terminal.shows((screen) => /^berth \S+ running/m.test(screen) && /the balancer is back/.test(screen));
  terminal.press('q');
  await terminal.shows(/\$$/);
});

test('top without a terminal says what to use instead, and exits 2', async (t) => {
  const [berth] = await stand(t);
  const { code, out, err } = await command('top', '-c', berth.file);
  assert.deepEqual([code, out], [2, '']);
  assert.equal(err, 'berth: top needs a terminal; berth status, berth sessions and berth events write to a pipe\n');
});
