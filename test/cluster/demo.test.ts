import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { openWorkspace } from '../support/processes.ts';

const DEMO = fileURLToPath(new URL('../demo/main.js', import.meta.url));

test('npm run demo -- --once shows a push, a pull and a failover, and ends', { timeout: 120_000 }, async (t) => {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const said = await workspace.run(process.execPath, [DEMO, '--once']);
  const victim = /killed (s[12]), the client's node/.exec(said)?.[1];
  const survivor = victim === 's1' ? 's2' : 's1';
  assert.match(said, /pulled demo\/first:1: .*, byte-identical to what was pushed/);
  assert.match(said, new RegExp(`binding +client 127\\.0\\.0\\.1 → ${victim} `));
  assert.match(said, new RegExp(`binding +client 127\\.0\\.0\\.1 → ${survivor} `));
  const went = `1 connect attempt to ${victim} failed and went on to ${survivor}`;
  const known = `${victim} was known to be down before the first connection came`;
  assert.match(said, new RegExp(`failover +(?:${went}|${known}); skopeo saw no error`));
  assert.match(said, new RegExp(`health +${victim} marked down .* after the kill: connection refused`));
});

test('npm run demo -- --trouble --once shows a slow node, a node in maint and a client that hammers', async (t) => {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const said = await workspace.run(process.execPath, [DEMO, '--trouble', '--once']);
  assert.match(said, /s3 .*maint/);
  assert.match(said, /127\.0\.20\.9 .*bound to s[12]/s);
});
