/** Servers that DNS names, with a real DNS server; the schedule by itself on a mocked clock. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { Discovery, type DnsAnswer } from '../../src/pool/discovery.ts';
import { Authority } from '../support/authority.ts';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { NO_DNS, resolver, type DnsServer } from '../support/dns.ts';
import { folderOf } from '../support/files.ts';
import { listen } from '../support/listening.ts';
import { command, serversOf, setState, status } from '../support/operator.ts';
import { come, hold, leave, somebody } from '../support/people.ts';
import { echoes, TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings, type Settings } from '../support/settings.ts';

/** Servers of one port, as those behind a name are. */
async function behindOneName(t: TestContext, names: readonly string[]): Promise<TestServer[]> {
  const servers: TestServer[] = [];
  for (const name of names) {
    const server = new TestServer(name, echoes);
    server.port = servers[0]?.port ?? 0;
    await server.open();
    t.after(() => server.close());
    servers.push(server);
  }
  return servers;
}

const hosts = (...servers: readonly (TestServer | undefined)[]): string[] =>
  servers.flatMap((server) => server?.host ?? []);
/** The names that Berth gives to the servers of the entry `r`. */
const named = (...servers: readonly (TestServer | undefined)[]): string[] =>
  servers.map((server) => `r-${server?.address}`).toSorted();

const config = (address: string, resolveInterval = '100ms'): Settings =>
  settings([{ name: 'r', address }], { resolveInterval, ...QUICK_CHECKS });

/** Resolves when the backend has these servers. */
async function has(berth: Berth, dns: DnsServer, wanted: readonly string[], question = 'A r.test'): Promise<void> {
  const names = async (): Promise<string[]> => (await serversOf(berth)).map(({ name }) => name).toSorted();
  for (let round = 0; round < 20; round++) {
    if (JSON.stringify(await names()) === JSON.stringify(wanted)) return;
    await dns.askedAgain(question);
  }
  assert.deepEqual(await names(), wanted);
}

/** Who serves so many new clients, each once. */
async function serving(berth: Berth, count: number): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < count; i++) answers.add(await come(berth));
  return [...answers].toSorted();
}

describe('with a DNS server', { skip: NO_DNS }, () => {
  test('a name is as many servers as it has addresses, and they come and go with them', async (t) => {
    const { dns, through } = await resolver(t);
    const [a, b, c] = await behindOneName(t, ['a', 'b', 'c']);
    dns.addresses('r.test', ...hosts(a, b));
    const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
    await has(berth, dns, named(a, b));
    assert.deepEqual(await serving(berth, 2), ['a', 'b']);
    const people = [somebody(), somebody()];
    const first = [await come(berth, people[0]), await come(berth, people[1])];

    dns.addresses('r.test', ...hosts(c, b, a));
    await has(berth, dns, named(a, b, c));
    assert.deepEqual(await serving(berth, 3), ['a', 'b', 'c']);
    assert.deepEqual([await come(berth, people[0]), await come(berth, people[1])], first, 'who was bound still is');

    const held = [await hold(berth), await hold(berth), await hold(berth)];
    dns.addresses('r.test', ...hosts(c));
    await has(berth, dns, named(c));
    assert.deepEqual(await serving(berth, 4), ['c']);
    assert.deepEqual([await come(berth, people[0]), await come(berth, people[1])], ['c', 'c']);
    for (const client of held) {
      client.socket.write('still there?');
      await client.bytes(`${client.answered}\nstill there?`.length);
      await leave(berth, client);
    }
    assert.equal(await berth.metric(`berth_server_up{backend="b",server="r-${a?.address}"}`), undefined);
    assert.equal(await berth.metric(`berth_server_up{backend="b",server="r-${c?.address}"}`), 1);
  });

  for (const [what, spoil] of [
    ['an answer without addresses', (dns: DnsServer) => dns.addresses('r.test')],
    ['a name that is gone', (dns: DnsServer) => void dns.records.delete('r.test')],
    ['a server that fails', (dns: DnsServer) => void (dns.failing = true)],
  ] as const) {
    test(`${what} leaves the servers of the last good answer`, async (t) => {
      const { dns, through } = await resolver(t);
      const [a, b] = await behindOneName(t, ['a', 'b']);
      dns.addresses('r.test', ...hosts(a, b));
      const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
      await has(berth, dns, named(a, b));
      spoil(dns);
      await dns.askedAgain('A r.test');
      await dns.askedAgain('A r.test');
      assert.deepEqual(
        (await serversOf(berth)).map(({ name, usable }) => [name, usable]),
        named(a, b).map((name) => [name, true]),
      );
      assert.deepEqual(await serving(berth, 2), ['a', 'b']);
      dns.failing = false;
      dns.addresses('r.test', ...hosts(b));
      await has(berth, dns, named(b));
    });
  }

  test('without a first answer Berth starts, turns clients away, and serves when there is one', async (t) => {
    const { dns, through } = await resolver(t);
    const [a] = await behindOneName(t, ['a']);
    const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
    assert.deepEqual(await serversOf(berth), []);
    assert.equal((await berth.get('/readyz')).status, 503);
    assert.equal(await new Client({ port: await berth.port() }).ended, 'reset');
    assert.equal((await berth.connections(1))[0]?.['end'], 'SC');
    dns.addresses('r.test', ...hosts(a));
    await has(berth, dns, named(a));
    assert.equal(await come(berth), 'a');
    assert.equal((await berth.get('/readyz')).status, 200);
  });

  test('servers that are found are checked, and keep their health, state and clients from answer to answer', async (t) => {
    const { dns, through } = await resolver(t);
    const [a, b, c] = await behindOneName(t, ['a', 'b', 'c']);
    await b?.close();
    dns.addresses('r.test', ...hosts(a));
    const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
    await has(berth, dns, named(a));
    dns.addresses('r.test', ...hosts(a, b, c));
    await berth.change('server down', `r-${b?.address}`);
    await setState(berth, `r-${a?.address}`, 'drain');
    const anna = somebody();
    assert.equal(await come(berth, anna), 'c');
    assert.deepEqual(await serving(berth, 3), ['c']);
    dns.addresses('r.test', ...hosts(c, b, a));
    await dns.askedAgain('A r.test');
    await dns.askedAgain('A r.test');
    const all = new Map((await serversOf(berth)).map((one) => [one.name, one]));
    assert.deepEqual([...all.keys()], named(a, b, c), 'whatever the order of the answer');
    assert.equal(all.get(`r-${b?.address}`)?.up, false);
    assert.deepEqual(await serving(berth, 3), ['c'], 'a is still drained');
    assert.ok((all.get(`r-${c?.address}`)?.clients ?? 0) >= 4);
    await b?.open();
    await berth.change('server up', `r-${b?.address}`);
    assert.deepEqual(await serving(berth, 2), ['b', 'c']);
    assert.equal(berth.lines.filter(({ msg }) => msg === 'server down').length, 1);
  });

  test('a service is as many servers as its targets have addresses, each at its own port', async (t) => {
    const { dns, through } = await resolver(t);
    const [[a, b], [c]] = [await behindOneName(t, ['a', 'b']), await behindOneName(t, ['c'])];
    const name = '_registry._tcp.r.test';
    dns.addresses('one.test', ...hosts(a, b));
    dns.addresses('two.test', ...hosts(c));
    dns.services(name, { target: 'one.test', port: a?.port ?? 0 });
    const berth = await start(t, config(`srv:${name}`), { through });
    await has(berth, dns, named(a, b), `SRV ${name}`);
    dns.services(name, { target: 'one.test', port: a?.port ?? 0 }, { target: 'two.test', port: c?.port ?? 0 });
    await has(berth, dns, named(a, b, c), `SRV ${name}`);
    assert.deepEqual(await serving(berth, 3), ['a', 'b', 'c']);
    dns.addresses('one.test', ...hosts(b));
    await has(berth, dns, named(b, c), `SRV ${name}`);
    dns.records.delete(name);
    await dns.askedAgain(`SRV ${name}`);
    await has(berth, dns, named(b, c), `SRV ${name}`);
  });

  test('a target without an address does not keep the others of its service away, nor does one that cannot be asked for now', async (t) => {
    const { dns, through } = await resolver(t);
    const [a] = await behindOneName(t, ['a']);
    dns.addresses('one.test', ...hosts(a));
    dns.addresses('empty.test');
    const [name, port] = ['_registry._tcp.r.test', a?.port ?? 0];
    dns.services(name, { target: 'one.test', port }, { target: 'gone.test', port }, { target: 'empty.test', port });
    const berth = await start(t, config(`srv:${name}`), { through });
    await has(berth, dns, named(a), `SRV ${name}`);
    assert.equal(await come(berth), 'a');
    dns.failingFor.add('one.test');
    await dns.askedAgain(`SRV ${name}`);
    await has(berth, dns, named(a), `SRV ${name}`);
  });

  test('addresses of both families count, each once', async (t) => {
    const { dns, through } = await resolver(t);
    const [a] = await behindOneName(t, ['a']);
    dns.addresses('r.test', ...hosts(a, a), '::1', '0:0:0:0:0:0:0:1');
    const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
    await has(berth, dns, [...named(a), `r-[::1]:${a?.port}`].toSorted());
  });

  test('where one family cannot be asked for now, its servers stay; they go where it has none any more', async (t) => {
    const { dns, through } = await resolver(t);
    const [a, b] = await behindOneName(t, ['a', 'b']);
    const six = `r-[::1]:${a?.port}`;
    dns.addresses('r.test', ...hosts(a), '::1');
    const berth = await start(t, config(`dns:r.test:${a?.port}`), { through });
    await has(berth, dns, [...named(a), six].toSorted());
    dns.failingFor.add('AAAA r.test');
    dns.addresses('r.test', ...hosts(b));
    await has(berth, dns, [...named(b), six].toSorted());
    await dns.askedAgain('AAAA r.test');
    await has(berth, dns, [...named(b), six].toSorted());
    dns.failingFor.clear();
    await has(berth, dns, named(b));
  });

  for (const kind of ['dns', 'srv'] as const) {
    test(`TLS checks of servers that are found (${kind}) ask for the name, and look for it in the certificate`, async (t) => {
      const { dns, through } = await resolver(t);
      const authority = new Authority();
      t.after(() => authority.remove());
      const asked: string[] = [];
      const SNICallback = (name: string, done: (error: null) => void): void => {
        asked.push(name);
        done(null);
      };
      const port = await listen(t, createTlsServer({ ...authority.sign('DNS:node.test'), SNICallback }));
      dns.addresses('node.test', '127.0.0.1');
      dns.services('_registry._tcp.r.test', { target: 'node.test', port });
      const check = { healthCheck: { tls: { ca: join(authority.folder, 'ca.pem') }, interval: '50ms' } };
      const address = kind === 'dns' ? `dns:node.test:${port}` : 'srv:_registry._tcp.r.test';
      const berth = await start(t, settings([address], check), { through });
      const passed = `berth_server_checks_total{backend="b",server="s1-127.0.0.1:${port}",result="passed"}`;
      await berth.metricIs(passed, (count) => count > 0);
      assert.equal(asked[0], 'node.test');
    });
  }

  test('a short name is the same host as a plain name, by dns: and by srv:, as the search list completes it', async (t) => {
    const { dns, through } = await resolver(t, 'search default.test svc.test\noptions ndots:5\n');
    const [a] = await behindOneName(t, ['a']);
    dns.addresses('r.svc.test', ...hosts(a));
    dns.services('_registry._tcp.svc.test', { target: 'r.svc.test', port: a?.port ?? 0 });
    for (const address of [`r:${a?.port}`, `dns:r:${a?.port}`, 'srv:_registry._tcp', `dns:r.svc.test.:${a?.port}`]) {
      const berth = await start(t, config(address), { through });
      assert.equal(await come(berth), 'a', address);
    }
  });

  test('localhost and the hosts file are known to dns: as to a plain name', async (t) => {
    const { dns, through } = await resolver(t);
    const local = await listen(
      t,
      createServer((socket) => socket.end('local\n')),
    );
    for (const address of [`dns:localhost:${local}`, `localhost:${local}`]) {
      const berth = await start(t, settings([address], QUICK_CHECKS), { through });
      const first = (await serversOf(berth))[0]?.name;
      assert.equal(first, address.startsWith('dns:') ? `s1-127.0.0.1:${local}` : 's1');
      assert.equal(await come(berth), 'local', address);
    }
    assert.equal(dns.asked.size, 0);
  });

  for (const [what, address, reason] of [
    ['a name that does not exist', 'dns:r.test:5000', 'the name does not exist'],
    ['a service that does not exist', 'srv:_registry._tcp.r.test', 'the name does not exist'],
    ['a plain name that does not exist', 'r.test:5000', 'the name does not exist'],
  ] as const) {
    test(`${what} is told in the log when that begins and when it ends, in status, explain and a metric`, async (t) => {
      const { dns, through } = await resolver(t);
      const admin = { bind: `unix:${join(folderOf(t), 'admin.sock')}` };
      const berth = await start(t, { ...config(address), admin }, { through });
      const told = (msg: string) => berth.line((line) => line.msg === msg);
      const line = await told('name does not resolve');
      assert.deepEqual(
        [line.level, line['backend'], line['server'], line['address'], line['servers'], line['reason']],
        ['warn', 'b', 'r', address, 0, reason],
      );
      assert.equal(await berth.metric('berth_backend_resolve_successful{backend="b",server="r"}'), 0);
      assert.equal(await berth.metric('berth_backend_resolve_servers{backend="b",server="r"}'), 0);
      const [name] = (await status(berth)).backends[0]?.names ?? [];
      assert.deepEqual([name?.server, name?.address, name?.resolves, name?.reason], ['r', address, false, reason]);
      assert.match(
        (await command('status', '-c', berth.file)).out,
        new RegExp(`r: ${address} does not resolve, for .*: ${reason}`),
      );
      const explained = (await command('explain', '10.0.0.1', '-c', berth.file)).out;
      assert.ok(explained.includes(`the next connection is reset; ${address} does not resolve: ${reason}`), explained);

      dns.services('_registry._tcp.r.test', { target: 'r.test', port: 5000 });
      dns.addresses('r.test', '127.0.0.1');
      assert.equal((await told('name resolves again')).level, 'warn');
      assert.equal(await berth.metric('berth_backend_resolve_successful{backend="b",server="r"}'), 1);
      assert.equal(await berth.metric('berth_backend_resolve_servers{backend="b",server="r"}'), 1);
      assert.equal(berth.lines.filter(({ msg }) => msg === 'name does not resolve').length, 1, 'once');
      assert.ok(!(await command('status', '-c', berth.file)).out.includes('does not resolve'));

      const from = berth.lines.length;
      dns.failing = true;
      const again = await berth.line(({ msg }) => msg === 'name does not resolve', from);
      assert.deepEqual([again['servers'], /SERVFAIL/.test(String(again['reason']))], [1, true], 'its servers stay');
    });
  }

  test('the time to live of an answer brings the next question forward', async (t) => {
    const { dns, through } = await resolver(t);
    const [a, b] = await behindOneName(t, ['a', 'b']);
    dns.ttl = 1;
    dns.addresses('r.test', ...hosts(a));
    const berth = await start(t, config(`dns:r.test:${a?.port}`, '1h'), { through });
    assert.equal(await come(berth), 'a');
    dns.addresses('r.test', ...hosts(b));
    await has(berth, dns, named(b));
  });
});

test('DNS is asked again after the interval, or after the time to live where that is shorter, but no sooner than in a second', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const endpoints = [{ host: '10.0.0.1', port: 5_000, name: 'r.test' }];
  let asked = 0;
  let answer: () => Promise<Omit<DnsAnswer, 'unanswered'>>;
  const heard: number[] = [];
  const ask = async (): Promise<DnsAnswer> => {
    asked++;
    return { ...(await answer()), unanswered: [] };
  };
  const discovery: Discovery = new Discovery(
    { discover: 'dns', name: 'r.test', port: 5_000 },
    60_000,
    () => heard.push(discovery.found.length),
    { ask },
  );
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  answer = () => Promise.resolve({ endpoints, ttlSeconds: 30 });
  await discovery.start();
  for (const [reply, waitMs] of [
    [() => Promise.resolve({ endpoints, ttlSeconds: 300 }), 30_000],
    [() => Promise.resolve({ endpoints, ttlSeconds: 0 }), 60_000],
    [() => Promise.reject(new Error('SERVFAIL')), 1_000],
    [() => Promise.resolve({ endpoints: [], ttlSeconds: Infinity }), 1_000],
    [() => Promise.resolve({ endpoints, ttlSeconds: 30 }), 60_000],
  ] as const) {
    answer = reply;
    const before = asked;
    t.mock.timers.tick(waitMs - 1);
    assert.equal(asked, before, 'not yet');
    t.mock.timers.tick(1);
    assert.equal(asked, before + 1, `after ${waitMs} ms`);
    await turn();
  }
  assert.deepEqual(heard, [1, 1, 1, 1, 1, 1], 'after each answer, and what was found stays');
  discovery.close();
  const before = asked;
  t.mock.timers.tick(3_600_000);
  assert.equal(asked, before);
});
