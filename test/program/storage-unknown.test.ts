import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { command } from '../support/operator.ts';
import { settings } from '../support/settings.ts';
import { tokens, tokenStand } from '../support/token-registry.ts';

test('a storage that the check may not ask for is said once, in the log, the status and the metrics; the node is up', async (t) => {
  const folder = folderOf(t);
  let status = 401;
  const { port } = await tokenStand(t, (request, response) => {
    if (status === 200) tokens()(request, response);
    else response.writeHead(status).end();
  });
  writeFileSync(join(folder, 'password'), 'secret\n');
  const storage = { repository: 'berth/probe', user: 'berth', passwordFile: join(folder, 'password') };
  const check = { type: 'registry', interval: '50ms', fastInterval: '50ms', fall: 1, storage };
  const admin = { bind: `unix:${join(folder, 'admin.sock')}` };
  const berth = await start(t, settings([port], { healthCheck: check }, { admin }));
  const { level, reason } = await berth.line(({ msg }) => msg === 'storage unknown');
  assert.equal(level, 'warn');
  assert.match(
    String(reason),
    /^the token server at http:\/\/127\.0\.0\.1:\d+\/token refuses the user \(401\): user or/,
  );
  await berth.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', (count) => count >= 5);
  assert.equal(await berth.metric('berth_server_up{backend="b",server="s1"}'), 1);
  assert.equal(await berth.metric('berth_server_storage_known{backend="b",server="s1"}'), 0);
  const { out } = await command('status', '-c', berth.file);
  assert.match(out, /s1 .* up .* storage: unknown \(the token server at .* refuses the user \(401\)/);
  const told = berth.lines.filter(({ msg }) => /storage|down/.test(msg));
  assert.equal(told.length, 1, JSON.stringify(told));

  status = 200;
  writeFileSync(join(folder, 'password'), 'the right secret\n');
  berth.signal('SIGHUP');
  await berth.line(({ msg, server }) => msg === 'storage known' && server === 's1');
  await berth.metricIs('berth_server_storage_known{backend="b",server="s1"}', 1);
  assert.doesNotMatch((await command('status', '-c', berth.file)).out, /storage:/);
});
