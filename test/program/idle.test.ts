import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../support/berth.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** How often the process `pid` has gone to sleep by itself, and so was woken. */
function wakeUps(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1]);
}

test('a balancer without clients sleeps: checks and a sweep wake it a few times a second', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1', 's2'])));
  await berth.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', (count) => count > 0);
  const settled = async (): Promise<boolean> => {
    const before = wakeUps(berth.pid);
    await sleep(3_000);
    return wakeUps(berth.pid) - before <= 3 * 8;
  };
  // A busy machine makes it sleep less often; what a start has left to do may wake it more.
  assert.ok(await eventually('it to sleep', settled));
});
