import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf, openFilesOf } from '../support/files.ts';
import { api, askAt, reload, standing, status } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Settings with other frontends; each name with its binds. */
function withBinds(plain: Settings, wanted: Record<string, string[]>): Settings {
  const frontends = Object.entries(wanted).map(([name, bind]) => [name, { bind, backend: 'b' }]);
  return { ...plain, frontends: Object.fromEntries(frontends) };
}

/** Where a frontend listens now; undefined where there is none. */
async function addressesOf(berth: Berth, name = 'f'): Promise<string[] | undefined> {
  return (await status(berth)).frontends.find((one) => one.name === name)?.addresses;
}

const portOf = (address = ''): number => Number(address.split(':').at(-1));
const hostOf = (address = ''): string => address.replace(/:\d+$/, '');

/** Somebody else's port on an address that no outgoing connection uses. */
async function takenPort(t: TestContext): Promise<string> {
  const other = createServer().listen(0, '127.0.9.9');
  await once(other, 'listening');
  t.after(() => other.close());
  return `127.0.9.9:${(other.address() as AddressInfo).port}`;
}

test('a bind that is added listens, one that is removed refuses, and the one that stays is not touched', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const berth = await start(t, withBinds(plain, { f: ['127.0.0.1:0', '127.0.0.2:0'] }));
  const [stays = '', goes = ''] = (await addressesOf(berth)) ?? [];
  const inside = new Client({ port: portOf(goes), host: '127.0.0.2' });
  await inside.line();
  await reload(berth, withBinds(plain, { f: ['127.0.0.1:0', '127.0.0.3:0'] }));
  const [first, comes = '', ...more] = (await addressesOf(berth)) ?? [];
  assert.deepEqual([first, hostOf(comes), more], [stays, '127.0.0.3', []]);
  assert.equal(await whoServes(portOf(stays)), 's1');
  assert.equal(await whoServes(portOf(comes), '127.0.0.1', '127.0.0.3'), 's1');
  assert.equal(await new Client({ port: portOf(goes), host: '127.0.0.2' }).ended, 'refused');
  inside.socket.write('still here');
  await inside.bytes('s1\nstill here'.length);
});

test('a frontend that is added listens; one that is removed refuses, and is forgotten with its last connection', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const berth = await start(t, withBinds(plain, { f: ['127.0.0.1:0'] }));
  const port = portOf((await addressesOf(berth))?.[0]);
  const inside = new Client({ port });
  await inside.line();
  await reload(berth, withBinds(plain, { g: ['127.0.0.2:0'] }));
  const added = (await addressesOf(berth, 'g'))?.[0] ?? '';
  assert.equal(await whoServes(portOf(added), '127.0.0.1', hostOf(added)), 's1');
  assert.equal(await new Client({ port }).ended, 'refused');
  assert.deepEqual(await addressesOf(berth), []);
  assert.equal(await berth.metric('berth_frontend_connections{frontend="f"}'), 1);
  inside.socket.write('still here');
  await inside.bytes('s1\nstill here'.length);
  await inside.finish();
  await eventually('the frontend to be forgotten', async () => ((await addressesOf(berth)) ? undefined : true));
});

test('a frontend that comes back before its last connection has ended is not forgotten with that', async (t) => {
  const plain = settings(await serve(t, ['s1']), {}, { timeouts: { idle: '1h', drain: '0s' } });
  const [with_, without] = [{ f: ['127.0.0.1:0'], g: ['127.0.0.2:0'] }, { g: ['127.0.0.2:0'] }];
  const berth = await start(t, withBinds(plain, with_));
  const inside = new Client({ port: await berth.port() });
  await inside.line();
  await reload(berth, withBinds(plain, without));
  await reload(berth, withBinds(plain, with_));
  const [address] = (await addressesOf(berth)) ?? [];
  await inside.finish();
  await berth.connections(1);
  await reload(berth);
  assert.deepEqual(await addressesOf(berth), [address], 'its socket is still known');
  assert.equal(await whoServes(portOf(address)), 's1');
});

test('a bind that goes from one frontend to another keeps its socket', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const other = createServer().listen(0, '127.0.9.8');
  await once(other, 'listening');
  const bind = `127.0.9.8:${(other.address() as AddressInfo).port}`;
  other.close();
  const berth = await start(t, withBinds(plain, { old: [bind, '127.0.0.1:0'] }));
  // Never accepted by anybody, were the socket to be closed.
  assert.equal((await reload(berth, withBinds(plain, { new: [bind], old: ['127.0.0.1:0'] }))).msg, 'reloaded');
  assert.deepEqual(await addressesOf(berth, 'new'), [bind]);
  assert.equal(await whoServes(portOf(bind), '127.0.0.1', hostOf(bind)), 's1');
  assert.equal((await berth.connections(1))[0]?.['frontend'], 'new');
  assert.equal((await reload(berth, withBinds(plain, { newest: [bind] }))).msg, 'reloaded');
  assert.equal(await whoServes(portOf(bind), '127.0.0.1', hostOf(bind)), 's1');
  assert.equal((await berth.connections(2))[1]?.['frontend'], 'newest');
});

test('the metrics and admin addresses move; a request on the way is answered', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const addressOf = (what: string): string =>
    String(berth.lines.findLast(({ msg }) => msg === `${what} listening`)?.['address']);
  const [metrics, admin] = [addressOf('metrics'), addressOf('admin')];
  const moved = { metrics: { bind: '127.0.0.2:0' }, admin: { bind: '127.0.0.2:0' } };
  writeFileSync(berth.file, yaml(settings(servers, {}, moved)));
  const answer = await askAt(admin, 'POST', '/api/v1/reload');
  const { reloaded, changes } = answer.body as { reloaded: boolean; changes: string[] };
  assert.deepEqual([answer.status, reloaded, changes.length], [200, true, 6], changes.join('\n'));
  await berth.line(({ msg }) => msg === 'reloaded');
  assert.match(addressOf('metrics'), /^127\.0\.0\.2:/);
  assert.equal((await askAt(addressOf('metrics'), 'GET', '/readyz')).status, 200);
  assert.equal((await status(berth)).stage, 'running');
  for (const gone of [metrics, admin]) {
    assert.equal(await new Client({ port: portOf(gone) }).ended, 'refused');
  }
});

test('a file that is broken changes nothing, and the log says everything that is wrong with it', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const berth = await start(t, plain);
  const before = await standing(berth);
  const line = await reload(
    berth,
    'frontends: { f: { bind: nowhere, backend: c } }\nbackends: { b: { servers: {} } }\n',
  );
  assert.equal(line.level, 'error');
  assert.equal(line.msg, 'reload failed; the old configuration stays in force');
  const problems = line['problems'] as string[];
  assert.deepEqual(
    problems.map((problem) => /^.*:\d+:\d+: ([\w.]+): /.exec(problem)?.[1]),
    ['frontends.f.bind', 'frontends.f.backend', 'backends.b.servers'],
    problems.join('\n'),
  );
  assert.deepEqual(await standing(berth), before);
  assert.equal(await berth.metric('berth_config_last_reload_successful'), 0);
  const loadedAt = await berth.metric('berth_config_last_reload_success_timestamp_seconds');
  const seen = berth.lines.length;
  assert.deepEqual((await api(berth, 'POST', '/api/v1/reload')).body, { problems });
  await berth.line(({ msg }) => msg.startsWith('reload'), seen);
  rmSync(berth.file);
  assert.match(String((await reload(berth))['problems']), /cannot read the file: no such file/);
  assert.equal((await reload(berth, plain)).msg, 'reloaded');
  assert.equal(await berth.metric('berth_config_last_reload_successful'), 1);
  assert.ok((await berth.metric('berth_config_last_reload_success_timestamp_seconds'))! > loadedAt!);
});

for (const what of ['frontend', 'metrics', 'admin', 'state'] as const) {
  test(`where the new file's ${what} cannot be had, nothing changes at all`, async (t) => {
    const [s1, s2] = await serve(t, ['s1', 's2']);
    const folder = folderOf(t);
    const berth = await start(t, settings([s1!], {}, { state: { file: join(folder, 'state') } }));
    const port = await berth.port();
    const inside = new Client({ port });
    await inside.line();
    const taken = await takenPort(t);
    const more = settings(
      [s2!],
      { stickTable: { size: 5 }, balance: 'leastconn' },
      {
        metrics: { bind: what === 'metrics' ? taken : '127.0.0.2:0' },
        admin: { bind: what === 'admin' ? taken : '127.0.0.2:0' },
        state: { file: join(folder, what === 'state' ? 'missing/state' : 'state2') },
        log: { level: 'debug' },
      },
    );
    const bindsWanted = { f: ['127.0.0.1:0', '127.0.0.3:0'], g: [what === 'frontend' ? taken : '127.0.0.4:0'] };
    const [before, filesBefore, seen] = [await standing(berth), openFilesOf(berth.pid), berth.lines.length];
    const line = await reload(
      berth,
      withBinds({ ...more, backends: { ...more.backends, c: more.backends['b']! } }, bindsWanted),
    );
    assert.equal(line.msg, 'reload failed; the old configuration stays in force');
    const said =
      what === 'state' ? /cannot write the state file/ : new RegExp(`^cannot listen on ${taken} \\(.*${what}`);
    assert.match(String(line['problems']), said);
    assert.equal(
      (await askAt(String(berth.lines.find(({ msg }) => msg === 'metrics listening')?.['address']), 'GET', '/readyz'))
        .status,
      200,
    );
    assert.deepEqual(await standing(berth), before);
    await eventually('as many descriptors', () => openFilesOf(berth.pid) <= filesBefore);
    assert.deepEqual(
      berth.lines.slice(seen).map(({ msg }) => msg),
      [line.msg],
      'no address came or went',
    );
    inside.socket.write('still here');
    await inside.bytes('s1\nstill here'.length);
    assert.equal(await whoServes(port, '127.0.7.1'), 's1');
    // What stood in the way is gone: the same file is taken.
    mkdirSync(join(folder, 'missing'));
    if (what === 'state') assert.equal((await reload(berth)).msg, 'reloaded');
  });
}

test('a signal to end that comes in the middle of a reload is obeyed', async (t) => {
  const servers = await serve(t, ['s1']);
  // Whatever step it comes in: each is over within milliseconds.
  for (const afterMs of [0, 1, 2, 4, 6, 8, 12, 16]) {
    const berth = await start(t, settings(servers));
    const more = withBinds(settings(servers, {}, { metrics: { bind: '127.0.0.2:0' } }), {
      f: ['127.0.0.1:0'],
      g: ['127.0.0.1:0', '127.0.0.2:0'],
    });
    writeFileSync(berth.file, yaml(more));
    berth.signal('SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    berth.signal('SIGTERM');
    assert.equal(await berth.exitCode(), 0);
    assert.equal(berth.lines.at(-1)?.msg, 'stopped');
  }
});

test('a bind that is only written in another way is the same', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const free = createServer().listen(0, '::');
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  const berth = await start(t, withBinds({ ...plain, metrics: { bind: 'LOCALHOST:0' } }, { f: [`*:${port}`] }));
  const before = await addressesOf(berth);
  const seen = berth.lines.length;
  for (const [name, bind] of [
    ['f', `:${port}`],
    ['g', `*:${port}`],
  ] as const) {
    const file = withBinds({ ...plain, metrics: { bind: 'localhost:0' } }, { [name]: [bind] });
    assert.equal((await reload(berth, file)).msg, 'reloaded');
    assert.deepEqual(await addressesOf(berth, name), before);
    assert.equal(await whoServes(port), 's1');
  }
  assert.ok(!berth.lines.slice(seen).some(({ msg }) => msg === 'metrics listening'), 'nor has that moved');
});

test('a bind is widened and narrowed by a reload; whoever is connected stays, whoever comes is served', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const berth = await start(t, withBinds(plain, { f: ['127.0.0.1:0'] }));
  const [narrow = ''] = (await addressesOf(berth)) ?? [];
  const port = portOf(narrow);
  const inside = new Client({ port });
  await inside.line();
  for (const [bind, address] of [
    [`*:${port}`, `[::]:${port}`],
    [narrow, narrow],
    [`0.0.0.0:${port}`, `0.0.0.0:${port}`],
    [`localhost:${port}`, narrow],
  ] as const) {
    assert.equal((await reload(berth, withBinds(plain, { f: [bind] }))).msg, 'reloaded');
    assert.deepEqual(await addressesOf(berth), [address]);
    const wide = address !== narrow;
    await eventually(`${bind} to be in force`, async () => {
      const other = new Client({ port, host: '127.0.0.2' });
      const line = await other.line().catch(() => undefined);
      other.socket.destroy();
      return (line === 's1') === wide;
    });
    assert.equal(await whoServes(port), 's1');
  }
  inside.socket.write('still here');
  await inside.bytes('s1\nstill here'.length);
});

test('the metrics and admin addresses are widened and narrowed too', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const addressOf = (what: string): string =>
    String(berth.lines.findLast(({ msg }) => msg === `${what} listening`)?.['address']);
  const [metrics, admin] = [addressOf('metrics'), addressOf('admin')];
  const token = 'correct-horse-battery';
  const wide = settings(
    servers,
    {},
    {
      metrics: { bind: `*:${portOf(metrics)}` },
      admin: { bind: `*:${portOf(admin)}`, token },
    },
  );
  for (const [file, at] of [
    [wide, '127.0.0.2'],
    [settings(servers, {}, { metrics: { bind: metrics }, admin: { bind: admin, token } }), '127.0.0.1'],
  ] as const) {
    assert.equal((await reload(berth, file)).msg, 'reloaded');
    await eventually(`both to answer at ${at}`, async () => {
      const headers = { authorization: `Bearer ${token}` };
      const answers = [
        askAt(`${at}:${portOf(metrics)}`, 'GET', '/healthz'),
        askAt(`${at}:${portOf(admin)}`, 'GET', '/api/v1/status', { headers }),
      ];
      const done = await Promise.all(answers).catch(() => []);
      return done.length === 2 && done.every(({ status: code }) => code === 200);
    });
  }
  for (const port of [metrics, admin].map(portOf)) {
    await eventually('it to be narrow again', async () => {
      return (await new Client({ port, host: '127.0.0.2' }).ended) === 'refused';
    });
  }
});

test('a frontend that is added on the port of the standard admin address has that port', async (t) => {
  const other = createServer().listen(9181, '127.0.0.1');
  const free = await Promise.race([once(other, 'listening').then(() => true), once(other, 'error').then(() => false)]);
  if (free) await new Promise((resolve) => other.close(resolve));
  const { admin: _, ...plain } = settings(await serve(t, ['s1']));
  const berth = await start(t, plain);
  const own = berth.lines.some(({ msg }) => msg === 'admin listening');
  const { problems = [] } = await reload(berth, withBinds(plain, { f: ['127.0.0.1:0'], g: ['*:9181'] }));
  if (!own) return assert.match(String(problems), /\*:9181 \(frontend g\): another process listens there/);
  assert.deepEqual(problems, []);
  await eventually('the frontend to have the port', async () => (await whoServes(9181)) === 's1');
  await berth.line(({ msg }) => msg.startsWith('no admin address: 127.0.0.1:9181 is taken'));
});

test('a bind that cannot be had in the place of its predecessor is refused, and the problem says why', async (t) => {
  const plain = settings(await serve(t, ['s1']));
  const berth = await start(t, withBinds(plain, { f: ['127.0.0.1:0'] }));
  const [narrow = ''] = (await addressesOf(berth)) ?? [];
  const other = createServer().listen(portOf(narrow), '127.0.9.9');
  await once(other, 'listening');
  t.after(() => other.close());
  for (const [bind, why] of [
    [`0.0.0.0:${portOf(narrow)}`, 'another process listens there. Stop it, or bind another address'],
    ['192.0.2.1:443', 'this machine does not have that address. If it comes later (a VIP of keepalived), set'],
  ] as const) {
    const { problems } = await reload(berth, withBinds(plain, { f: [bind] }));
    assert.ok(String(problems).startsWith(`cannot listen on ${bind} (frontend f): ${why}`), String(problems));
  }
  assert.equal(await whoServes(portOf(narrow)), 's1');
});
