import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { NO_DNS, resolver } from '../support/dns.ts';
import { arrive, freeBind } from '../support/leftovers.ts';
import { yaml } from '../support/settings.ts';
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

test('a stop gives a reload up that waits for a name, and whoever is parked', { skip: NO_DNS }, async (t) => {
  const { dns, through } = await resolver(t);
  dns.hold('A slow.test');
  const [s1] = await serve(t, ['s1']);
  const plain = settings([s1!]);
  const berth = await start(t, plain, { through });
  const inside = new Client({ port: await berth.port() });
  await inside.line();
  const added = await freeBind('127.0.9.2');
  const frontends = { ...plain.frontends, g: { bind: added, backend: 'b' } };
  const backends = { ...plain.backends, c: { servers: { s2: 'dns:slow.test:5000' } } };
  writeFileSync(berth.file, yaml({ ...plain, frontends, backends }));
  berth.signal('SIGHUP');
  await dns.waits('A slow.test');
  const parked = await arrive(t, added);
  parked.socket.write('is anybody there?');
  const seen = berth.lines.length;
  berth.signal('SIGTERM');
  await parked.ended;
  assert.equal(parked.received.length, 0, 'nobody has served it');
  await berth.line(
    ({ msg, problems }) =>
      msg === 'reload failed; the old configuration stays in force' && String(problems) === 'it is stopping',
    seen,
  );
  await inside.finish();
  assert.equal(await berth.exited, 0);
  dns.release('A slow.test');
});
