/** The commands as a person sees them: in a real terminal. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { setState } from '../support/operator.ts';
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
