/** `berth diff`: what a reload would change. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { command } from '../support/operator.ts';
import { clients, places } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';

test('diff says it in words, exits 0, 1 or 2, and changes nothing', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const folder = folderOf(t);
  const admin = { admin: { bind: `unix:${join(folder, 'admin.sock')}` } };
  const file = settings([s1!, s2!], { healthCheck: false }, admin);
  const berth = await start(t, file);
  assert.deepEqual(await places(await berth.port(), clients(2)), ['s1', 's2']);
  const same = { code: 0, out: 'a reload would change nothing\n', err: '' };
  assert.deepEqual(await command('diff', '-c', berth.file), same);
  assert.deepEqual(await command('diff', berth.file, '-c', berth.file), same);
  const other = join(folder, 'other.yml');
  writeFileSync(other, yaml(settings([s1!], { healthCheck: false }, admin)));
  const differs = await command('diff', other, '-c', berth.file);
  assert.deepEqual(differs, {
    code: 1,
    out: '- server b/s2 (1 client)\n1 client would lose a server; 0 open connections would go on without it\n',
    err: '',
  });
  const json = await command('diff', other, '--json', '-c', berth.file);
  assert.equal(json.code, 1);
  assert.deepEqual(
    (JSON.parse(json.out) as { changes: { what: string }[] }).changes.map(({ what }) => what),
    ['server b/s2'],
  );
  writeFileSync(other, 'frontend: {}\n');
  const wrong = await command('diff', other, '-c', berth.file);
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.ok(wrong.err.includes(`${other}:1:1: frontend: unknown key`), wrong.err);
  assert.equal((await command('diff', '/nowhere.yml', '-c', berth.file)).code, 2);
  berth.signal('SIGTERM');
  await berth.exitCode();
  writeFileSync(other, yaml(file));
  const nobody = await command('diff', '-c', other);
  assert.deepEqual([nobody.code, nobody.out], [2, '']);
  assert.match(nobody.err, /there is no such socket/);
});
