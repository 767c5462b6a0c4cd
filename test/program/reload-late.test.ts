import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';

test('a reload that is asked for during a drain is refused, and is not a failed load', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const inside = new Client({ port: await berth.port() });
  await inside.line();
  process.kill(berth.pid, 'SIGTERM');
  await berth.line(({ msg }) => msg === 'draining');
  process.kill(berth.pid, 'SIGHUP');
  const { stage } = await berth.line(({ msg }) => msg === 'no reload');
  assert.equal(stage, 'draining');
  assert.equal(await berth.metric('berth_config_last_reload_successful'), 1);
  await inside.finish();
  assert.equal(await berth.exited, 0);
});
