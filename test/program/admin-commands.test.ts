import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { noIpv6 } from '../support/able.ts';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { command, serverStatus } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';

/** A balancer that commands reach through a socket in a folder of the test's own. */
async function reachable(t: TestContext, names: readonly string[]): Promise<{ berth: Berth; file: Settings }> {
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  const file = settings(await serve(t, names), { healthCheck: false }, admin);
  return { berth: await start(t, file), file };
}

test('status, in words and as JSON', async (t) => {
  const { berth } = await reachable(t, ['s1', 'another']);
  const port = await berth.port();
  await whoServes(port);
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  const words = await command('status', '-c', berth.file);
  assert.deepEqual([words.code, words.err], [0, '']);
  const lines = words.out.split('\n');
  assert.match(lines[0]!, /^berth \d+\.\d+\.\d+, running/);
  const row = (first: string): string[] =>
    lines
      .find((line) => line.trim().startsWith(first))
      ?.trim()
      .split(/ +/) ?? [];
  assert.deepEqual(row('f ').slice(0, 3), ['f', `127.0.0.1:${port}`, '0']);
  assert.match(words.out, /^backend b: roundrobin, 1 of 200000 bindings$/m);
  const titles = row('SERVER');
  const said = (server: string): Record<string, string> =>
    Object.fromEntries(row(server).map((cell, i) => [titles[i], cell]));
  const { CLIENTS: clients, ...s1 } = said('s1');
  assert.deepEqual([s1['HEALTH'], s1['STATE'], s1['WEIGHT'], s1['CONNS'], clients], ['up', 'ready', '1', '0', '1']);
  assert.equal(said('another')['CLIENTS'], '0');
  assert.doesNotMatch(words.out, /[^\n\P{Cc}]|…/u, 'colours or cuts on a pipe');
  const json = await command('status', '--json', '-c', berth.file);
  assert.equal(json.code, 0);
  assert.equal((JSON.parse(json.out) as { stage: string }).stage, 'running');
});

test('status says the weight, who is a backup, and who waits', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const list = [
    { address: s1!.address, maxConnections: 1, weight: 3 },
    { address: s2!.address, backup: true },
  ];
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  const berth = await start(t, settings(list, { healthCheck: false }, admin));
  const clients = ['127.0.7.1', '127.0.7.1', '127.0.7.2'].map(
    async (from) => new Client({ port: await berth.port(), from }),
  );
  const [first, ...waiting] = await Promise.all(clients);
  await berth.metricIs('berth_server_queue{backend="b",server="s1"}', 1);
  await berth.metricIs('berth_backend_queue{backend="b"}', 1);
  const { out } = await command('status', '-c', berth.file);
  assert.match(out, /^backend b: roundrobin, \d+ of 200000 bindings, 1 wait$/m);
  assert.match(out, /^ {2}s1 +\S+ +up +ready +3 +1 +\S+ +1 +1 /m);
  assert.match(out, /^ {2}s2 +\S+ +up +ready,backup +1 +0 +\S+ +0 +0 /m);
  for (const client of [first!, ...waiting]) client.socket.destroy();
});

test('what a node says reaches the terminal as text, not as its commands', async (t) => {
  const evil = '\u001b[2J\u001b]0;owned\u0007\u009b31m\nup';
  const body = {
    version: '1',
    stage: 'running',
    frontends: [],
    backends: [
      {
        name: 'b',
        why: `down: ${evil}`,
        servers: [{ name: 's1', reason: evil, storage: 'unknown', storageReason: evil }],
      },
    ],
  };
  const socket = join(folderOf(t), 'admin.sock');
  const fake = createServer((_, response) => response.end(JSON.stringify(body))).listen(socket);
  t.after(() => fake.close());
  await once(fake, 'listening');
  const file = join(folderOf(t), 'balancer.yml');
  writeFileSync(file, yaml(settings(['127.0.0.1:1'], {}, { admin: { bind: `unix:${socket}` } })));
  for (const args of [['status'], ['explain', '10.0.0.1']]) {
    const { code, out } = await command(...args, '-c', file);
    assert.equal(code, 0);
    assert.ok(out.includes('[2J'), out);
    assert.doesNotMatch(out.replaceAll('\n', ''), /\p{Cc}/u);
    assert.doesNotMatch(out, /^up$/m);
  }
});

test('explain, in words and as JSON', async (t) => {
  const { berth } = await reachable(t, ['s1']);
  await whoServes(await berth.port(), '127.0.7.1');
  const bound = await command('explain', '127.0.7.1', '-c', berth.file);
  assert.deepEqual([bound.code, bound.err], [0, '']);
  assert.match(bound.out, /^b: bound to s1, which is up and takes its clients\n/);
  const json = await command('explain', '127.0.7.1', '--json', '-c', berth.file);
  const said = JSON.parse(json.out) as { ip: string; backends: { server: string }[] };
  assert.deepEqual([said.ip, said.backends.map(({ server }) => server)], ['127.0.7.1', ['s1']]);
});

test('drain, maint and ready do what they are called, and say so', async (t) => {
  const { berth } = await reachable(t, ['s1']);
  for (const state of ['drain', 'maint', 'ready']) {
    const { code, out } = await command(state, 'b/s1', '-c', berth.file);
    assert.deepEqual([code, out], [0, `s1 is ${state}; 0 connections open\n`]);
    assert.equal((await serverStatus(berth, 's1'))?.state, state);
  }
  const json = await command('drain', 'b/s1', '--json', '-c', berth.file);
  assert.equal((JSON.parse(json.out) as { server: { state: string } }).server.state, 'drain');
});

test('what the balancer refuses is one line on standard error, and exit 1', async (t) => {
  const { berth } = await reachable(t, ['s1']);
  const said = await command('maint', 'b/s9', '-c', berth.file);
  assert.deepEqual(said, {
    code: 1,
    out: '',
    err: 'berth: there is no server s9 in b. Did you mean "s1"? There are s1\n',
  });
  const other = await command('maint', 'c/s1', '-c', berth.file);
  assert.deepEqual(other, { code: 1, out: '', err: 'berth: there is no backend c. Did you mean "b"? There are b\n' });
});

test('reload takes the new file, or says everything that is wrong with it and exits 1', async (t) => {
  const { berth, file } = await reachable(t, ['s1']);
  const done = await command('reload', '-c', berth.file);
  assert.deepEqual(done, { code: 0, out: 'reloaded\n', err: '' });
  const json = await command('reload', '--json', '-c', berth.file);
  assert.deepEqual(JSON.parse(json.out), { reloaded: true, changes: [] });
  writeFileSync(berth.file, yaml({ ...file, timeouts: { idle: 'soon', conect: '1s' } }));
  const { code, out, err } = await command('reload', '-c', berth.file);
  assert.deepEqual([code, out], [1, '']);
  assert.match(
    err,
    /^berth: the old configuration stays in force:\n.*timeouts\.idle: .*\n.*timeouts\.conect: unknown key.*\n$/,
  );
  assert.equal(await berth.metric('berth_config_last_reload_successful'), 0);
});

test('a call that is wrong exits 2 and asks nobody', async () => {
  const wrong = {
    'drain needs BACKEND/SERVER': ['drain'],
    'maint needs BACKEND/SERVER': ['maint', 's1'],
    'ready needs BACKEND/SERVER': ['ready', 'a/b/c'],
    'explain needs an IP address': ['explain', 'localhost'],
    'status takes no argument': ['status', 'b'],
    'reload takes no argument': ['reload', 'now'],
    'drain takes one argument, and not also "now"': ['drain', 'b/s1', 'now'],
  };
  for (const [what, args] of Object.entries(wrong)) {
    const { code, out, err } = await command(...args, '-c', '/nowhere');
    assert.deepEqual([code, out], [2, ''], what);
    assert.ok(err.startsWith(`berth: ${what}`) && err.split('\n').length === 2, err);
  }
});

test('a balancer that does not run, or is another one, is one line and exit 1', async (t) => {
  const folder = folderOf(t);
  const file = join(folder, 'balancer.yml');
  const says = async (admin: object): Promise<string> => {
    writeFileSync(file, yaml(settings([{ name: 's1', address: '127.0.0.1:1' }], {}, { admin })));
    const { code, out, err } = await command('status', '-c', file);
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /^berth: [^\n]+\n$/);
    return err;
  };
  assert.match(await says({ bind: `unix:${folder}/none.sock` }), /there is no such socket\. Does the balancer run/);
  // Nothing listens on an address that nobody else uses.
  assert.match(
    await says({ bind: '127.0.9.7:9' }),
    /cannot reach the admin address 127\.0\.9\.7:9: nothing listens there/,
  );
  const stranger = createServer((_, response) => response.end('<html>')).listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  t.after(() => stranger.close());
  const port = (stranger.address() as AddressInfo).port;
  assert.match(await says({ bind: `127.0.0.1:${port}` }), /what answers at 127\.0\.0\.1:\d+ is no balancer/);
  rmSync(file);
  const missing = await command('status', '-c', file);
  assert.deepEqual([missing.code, missing.out], [1, '']);
  assert.match(missing.err, /^berth: cannot read the admin address from .*; berth check -c .* says what is wrong\n$/);
});

test('the token comes from the file: as it stands there, or from the file that is named', async (t) => {
  const folder = folderOf(t);
  const socket = join(folder, 'admin.sock');
  const secret = 'correct-horse-battery';
  writeFileSync(join(folder, 'secret'), `${secret}\nsecond line\n`);
  const servers = await serve(t, ['s1']);
  const file = (admin: object): string => {
    const path = join(folder, 'balancer.yml');
    writeFileSync(path, yaml(settings(servers, {}, { admin: { bind: `unix:${socket}`, ...admin } })));
    return path;
  };
  await start(t, settings(servers, {}, { admin: { bind: `unix:${socket}`, token: secret } }));
  for (const admin of [{ token: secret }, { tokenFile: 'secret' }, { tokenFile: join(folder, 'secret') }]) {
    const { code, err } = await command('status', '-c', file(admin));
    assert.deepEqual([code, err], [0, ''], JSON.stringify(admin));
  }
  for (const admin of [{}, { token: `${secret}x` }]) {
    const said = await command('drain', 'b/s1', '-c', file(admin));
    assert.deepEqual(said, { code: 1, out: '', err: 'berth: the token is missing or wrong\n' });
  }
});

test('a balancer that listens on every address, of one family or of both, is asked on this machine', async (t) => {
  const token = 'correct-horse-battery';
  for (const any of ['*', '0.0.0.0', '[::]']) {
    if (any === '[::]' && noIpv6()) continue;
    const file = (port: number | string): string =>
      yaml(settings([{ name: 's1', address: '127.0.0.1:1' }], {}, { admin: { bind: `${any}:${port}`, token } }));
    const berth = await start(t, file(0));
    const address = String(berth.lines.find(({ msg }) => msg === 'admin listening')?.['address']);
    writeFileSync(berth.file, file(address.split(':').at(-1) ?? ''));
    const { code, err } = await command('status', '-c', berth.file);
    assert.deepEqual([code, err], [0, ''], any);
  }
});

test('a reload that asks where the file says, but nobody is yet, or with a token that is not in force yet, names SIGHUP', async (t) => {
  const servers = await serve(t, ['s1']);
  const folder = folderOf(t);
  const socket = join(folder, 'admin.sock');
  const hint = ' (if admin has changed in the file: undo that for the reload, or send it SIGHUP)\n';
  const berth = await start(t, settings(servers, {}, { admin: { bind: `unix:${socket}` } }));
  for (const bind of ['127.0.9.7:9', `unix:${folder}/new.sock`]) {
    writeFileSync(berth.file, yaml(settings(servers, {}, { admin: { bind } })));
    const { code, err } = await command('reload', '-c', berth.file);
    assert.equal(code, 1);
    assert.ok(err.startsWith('berth: cannot reach the admin address') && err.endsWith(hint), err);
    assert.ok(!(await command('status', '-c', berth.file)).err.includes('SIGHUP'));
  }
  const secret = (token: string): string => yaml(settings(servers, {}, { admin: { bind: `unix:${socket}2`, token } }));
  const guarded = await start(t, secret('correct-horse-battery'));
  writeFileSync(guarded.file, secret('another-secret-of-mine'));
  const { err } = await command('reload', '-c', guarded.file);
  assert.equal(err, `berth: the token is missing or wrong${hint}`);
});
