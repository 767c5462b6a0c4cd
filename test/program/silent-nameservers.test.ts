/**
 * Nameservers that answer nothing hold up neither the end of a program nor the service of others. The system's own
 * look-up would wait here for longer than any test does, and an exit would wait for it.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { Authority } from '../support/authority.ts';
import { Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { NO_DNS, resolver, type DnsServer } from '../support/dns.ts';
import { folderOf } from '../support/files.ts';
import { listen } from '../support/listening.ts';
import { commandWith, reload } from '../support/operator.ts';
import { come } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

async function silence(t: TestContext): Promise<{ dns: DnsServer; through: readonly string[] }> {
  const nameserver = await resolver(t, 'options timeout:30 attempts:5\n');
  nameserver.dns.silent = true;
  return nameserver;
}

/** Resolves when the nameserver has a question for this name. */
async function asked(dns: DnsServer, name: string, times = 1): Promise<void> {
  await eventually(`a question for ${name}`, () => (dns.asked.get(`A ${name}`) ?? 0) >= times);
}

/** A configuration with this name in one of the places that names have, and nothing else to serve. */
const PLACES: Readonly<Record<string, (name: string) => Settings>> = {
  'a server': (name) => settings([`${name}:5000`]),
  'a discovery': (name) => settings([`dns:${name}:5000`]),
  'a frontend': (name) => settings(['127.0.0.1:1'], {}, {}, { bind: `${name}:0` }),
  'the metrics address': (name) => settings(['127.0.0.1:1'], {}, { metrics: { bind: `${name}:0` } }),
  'the admin address': (name) =>
    settings(['127.0.0.1:1'], {}, { admin: { bind: `${name}:0`, token: 'a secret of the operator' } }),
};

describe('where no nameserver answers', { skip: NO_DNS }, () => {
  for (const [place, config] of Object.entries(PLACES)) {
    test(`SIGTERM ends a start that looks up the name of ${place}`, async (t) => {
      const { dns, through } = await silence(t);
      const berth = new Berth(config('r.test'), { through });
      t.after(() => berth.stop());
      await asked(dns, 'r.test');
      berth.signal('SIGTERM');
      assert.equal(await berth.exitCode(), 0);
      assert.equal(berth.lines.at(-1)?.msg, 'stopped');
    });
  }

  test('SIGTERM ends a balancer that looks names up again', async (t) => {
    const { dns, through } = await silence(t);
    const [server] = await serve(t, ['s1']);
    const names = ['r.test:5000', 'dns:s.test:5000'];
    const berth = await start(t, settings([server!, ...names], { resolveInterval: '100ms' }), { through });
    await asked(dns, 'r.test', 3);
    await asked(dns, 's.test', 3);
    berth.signal('SIGTERM');
    assert.equal(await berth.exitCode(), 0);
  });

  test('a start that fails ends at once, and so does one whose bind has no address', async (t) => {
    const { dns, through } = await silence(t);
    const port = await listen(t, createServer());
    const taken = settings(['r.test:5000', 'dns:s.test:5000'], {}, {}, { bind: `127.0.0.1:${port}` });
    const berth = new Berth(taken, { through });
    t.after(() => berth.stop());
    assert.equal(await berth.exitCode(), 1);
    assert.match(berth.stderr, /another process listens there/);
    const unknown = new Berth(settings(['127.0.0.1:1'], {}, {}, { bind: 'r.test:0' }), { through });
    t.after(() => unknown.stop());
    assert.equal(await unknown.exitCode(), 1);
    const [nameserver] = [...dns.asked.keys()];
    assert.equal(nameserver, 'A r.test');
    assert.match(
      unknown.stderr,
      /^berth: cannot listen on r\.test:0 \(frontend f\): .*: no nameserver answers \(asked 127/,
    );
  });

  test('commands say that no nameserver answers, and end', async (t) => {
    const { through } = await silence(t);
    const authority = new Authority();
    t.after(() => authority.remove());
    const file = join(folderOf(t), 'balancer.yml');
    const admin = { bind: 'admin.test:9181', token: 'a secret of the operator' };
    writeFileSync(file, yaml(settings(['r.test:5000', 'dns:s.test:5000', 'srv:_r._tcp.test'], {}, { admin })));
    const status = await commandWith({ through }, 'status', '-c', file);
    assert.equal(status.code, 1);
    assert.match(status.err, /^berth: cannot reach the admin address admin\.test:9181: no nameserver answers/);
    const ca = join(authority.folder, 'ca.pem');
    const audit = await commandWith({ through }, 'doctor', '-c', file, '--name', 'r.test', '--ca', ca);
    assert.equal(audit.code, 1);
    for (const name of ['r.test', 's.test', '_r._tcp.test'])
      assert.ok(audit.out.includes(`${name} does not resolve: no nameserver answers`), audit.out);
  });

  test('a start listens while names hang, where a server of any backend has an address; so does a reload', async (t) => {
    const { through } = await silence(t);
    const [one, two] = await serve(t, ['one', 'two']);
    const names = ['r.test:5000', 'dns:s.test:5000', 'srv:_r._tcp.test'];
    const first = settings([one!, ...names]);
    const hanging = { servers: { s1: 'u.test:5000' } };
    const both = { ...first, backends: { ...first.backends, other: hanging } };
    const berth = await start(t, both, { through });
    assert.equal(await come(berth), 'one');
    const failures = () => berth.lines.filter(({ msg }) => msg === 'name does not resolve').length;
    assert.equal(failures(), 0, 'the look-ups are still under way');
    const third = { servers: { s1: two!.address, s2: 'v.test:5000' } };
    const frontends = { ...first.frontends, g: { bind: '127.0.0.1:0', backend: 'third' } };
    assert.equal((await reload(berth, { ...both, frontends, backends: { ...both.backends, third } })).msg, 'reloaded');
    assert.equal(failures(), 0, 'the look-ups are still under way');
    assert.equal(await new Client({ port: await berth.port('g') }).line(), 'two');
  });

  test('a reload to servers that only names lead to waits for the names, and is served by the old ones meanwhile', async (t) => {
    const { dns, through } = await resolver(t);
    const [one, two] = await serve(t, ['one', 'two']);
    const berth = await start(t, settings([one!]), { through });
    dns.hold('A r.test');
    const reloaded = reload(berth, settings([{ name: 'other', address: `r.test:${two!.port}` }]));
    await dns.waits('A r.test');
    assert.equal(await come(berth), 'one');
    dns.addresses('r.test', two!.host);
    dns.release('A r.test');
    assert.equal((await reloaded).msg, 'reloaded');
    assert.equal(await come(berth), 'two');
  });

  test('a name that is looked up in vain leaves the others alone, and is a server that is down', async (t) => {
    const { through } = await silence(t);
    const [server] = await serve(t, ['s1']);
    const berth = await start(t, settings([server!, ...Array.from({ length: 20 }, (_, i) => `r${i}.test:5000`)]), {
      through,
    });
    assert.equal(await come(berth), 's1');
    const down = await berth.change('server down', 's20');
    assert.match(String(down['reason']), /^r18\.test does not resolve: no nameserver answers \(asked 127/);
  });
});
