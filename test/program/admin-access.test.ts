/** Who may ask the admin address, and how. */
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { api, askAt, command, reload, serverStatus, setState, status, type Question } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';
import { within } from '../support/waiting.ts';

const NOT_ROOT = process.getuid?.() === 0 ? false : 'needs root';
const TOKEN = 'correct-horse-battery';
const NOBODY = [{ name: 's1', address: '127.0.0.1:1' }];
const MAINT = JSON.stringify({ state: 'maint' });

const adminAt = (bind: string, more: object = {}): object => ({ admin: { bind, ...more } });
const bearer = (token: string): Question => ({ headers: { authorization: `Bearer ${token}` } });

async function running(t: TestContext, admin: object = {}): Promise<Berth> {
  return start(t, settings(NOBODY, { healthCheck: false }, admin));
}

test('where a token is set, who does not say it learns nothing and changes nothing', async (t) => {
  const berth = await running(t, adminAt('127.0.0.1:0', { token: TOKEN }));
  const wrong: Question[] = [
    {},
    bearer(''),
    bearer('x'),
    bearer(`${TOKEN}x`),
    bearer(TOKEN.slice(1)),
    bearer(TOKEN.toUpperCase()),
    { headers: { authorization: TOKEN } },
    { headers: { authorization: `Basic ${Buffer.from(`berth:${TOKEN}`).toString('base64')}` } },
    { headers: { authorization: `Bearer ${'x'.repeat(8_000)}` } },
  ];
  for (const question of wrong) {
    const said = JSON.stringify(question).slice(0, 80);
    for (const path of ['/api/v1/status', '/api/v1/explain?ip=10.0.0.1', '/anything']) {
      const answer = await api(berth, 'GET', path, question);
      assert.deepEqual([answer.status, answer.body], [401, { error: 'the token is missing or wrong' }], said);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="berth"');
    }
    const put = await api(berth, 'PUT', '/api/v1/servers/b/s1', { ...question, body: MAINT });
    assert.equal(put.status, 401);
    assert.equal((await api(berth, 'POST', '/api/v1/reload', question)).status, 401);
  }
  const { body, status: code } = await api(berth, 'GET', '/api/v1/status', bearer(TOKEN));
  assert.equal(code, 200);
  assert.match(JSON.stringify(body), /"state":"ready"/);
  assert.ok(!berth.lines.some(({ msg }) => msg.startsWith('reload')));
});

test('another token counts from the reload on', async (t) => {
  const berth = await running(t, adminAt('127.0.0.1:0', { token: TOKEN }));
  const file = join(berth.folder, 'token');
  writeFileSync(file, 'another-secret-of-mine\n');
  await reload(berth, settings(NOBODY, {}, adminAt('127.0.0.1:0', { tokenFile: 'token' })));
  assert.equal((await api(berth, 'GET', '/api/v1/status', bearer(TOKEN))).status, 401);
  assert.equal((await api(berth, 'GET', '/api/v1/status', bearer('another-secret-of-mine'))).status, 200);
  writeFileSync(file, 'short\n');
  const line = await reload(berth);
  assert.match(
    String(line['problems']),
    /admin\.tokenFile: cannot be used: its first line has less than 16 characters/,
  );
  assert.equal((await api(berth, 'GET', '/api/v1/status', bearer('another-secret-of-mine'))).status, 200);
  await reload(berth, settings(NOBODY, {}, adminAt('127.0.0.1:0')));
  assert.equal((await api(berth, 'GET', '/api/v1/status')).status, 200);
});

test('no secret is in the log, in an answer, or in what check says', async (t) => {
  const berth = await running(t, adminAt('127.0.0.1:0', { token: TOKEN }));
  const answers = [
    await api(berth, 'GET', '/api/v1/status', bearer(TOKEN)),
    await api(berth, 'GET', '/api/v1/status', bearer(`${TOKEN}x`)),
  ];
  await reload(berth);
  const { out, err } = await command('check', '-c', berth.file);
  for (const text of [JSON.stringify(berth.lines), JSON.stringify(answers), out, err]) assert.ok(!text.includes(TOKEN));
});

test('an address that others can reach is refused without a token', async (t) => {
  const file = join(folderOf(t), 'balancer.yml');
  writeFileSync(file, yaml(settings(NOBODY, {}, adminAt('0.0.0.0:0'))));
  const { code, out } = await command('check', '-c', file);
  assert.equal(code, 2);
  assert.match(out, /admin\.bind: 0\.0\.0\.0:0 is open to others; add tokenFile, or bind a loopback address/);
});

test('a page of another site can do nothing: its Origin is foreign, or its Host is', async (t) => {
  const berth = await running(t);
  const address = String(berth.lines.find(({ msg }) => msg === 'admin listening')?.['address']);
  const port = address.split(':').at(-1)!;
  const foreign = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1' },
    { origin: `https://${address}` },
    { host: 'evil.example' },
    { host: `evil.example:${port}` },
    { host: `evil.example:${port}`, origin: `http://evil.example:${port}` },
    { host: '127.0.0.1.evil.example' },
  ];
  for (const headers of foreign) {
    const put = { body: MAINT, headers };
    for (const answer of [
      await api(berth, 'GET', '/api/v1/status', { headers }),
      await api(berth, 'PUT', '/api/v1/servers/b/s1', put),
      await api(berth, 'POST', '/api/v1/reload', { headers }),
    ]) {
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
    }
    // What a browser asks first.
    const asked = { headers: { ...headers, 'access-control-request-method': 'PUT' } };
    assert.equal((await api(berth, 'OPTIONS', '/api/v1/servers/b/s1', asked)).status, 403);
  }
  assert.equal((await serverStatus(berth, 's1'))?.state, 'ready');
  const own = [
    { origin: `http://${address}` },
    { host: `localhost:${port}` },
    { host: `[::1]:${port}` },
    { host: '10.0.0.1' },
  ];
  for (const headers of own) {
    assert.equal((await api(berth, 'GET', '/api/v1/status', { headers })).status, 200, JSON.stringify(headers));
  }
});

test('nothing is changed by a GET; each path has its method', async (t) => {
  const berth = await running(t);
  const paths = {
    '/api/v1/status': 'GET',
    '/api/v1/explain': 'GET',
    '/api/v1/reload': 'POST',
    '/api/v1/servers/b/s1': 'PUT',
  };
  for (const [path, allowed] of Object.entries(paths)) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      if (method === allowed) continue;
      const answer = await api(berth, method, `${path}?state=maint`, { body: method === 'POST' ? MAINT : '' });
      assert.deepEqual([answer.status, answer.headers['allow']], [405, allowed], `${method} ${path}`);
    }
  }
  assert.equal((await serverStatus(berth, 's1'))?.state, 'ready');
  assert.ok(!berth.lines.some(({ msg }) => msg.startsWith('reload')));
});

test('what is asked wrongly is answered with what is wrong', async (t) => {
  const berth = await running(t);
  const put = async (path: string, body: string): Promise<[number, unknown]> => {
    const answer = await api(berth, 'PUT', `/api/v1/servers/${path}`, { body });
    return [answer.status, (answer.body as { error: string }).error];
  };
  const wrong = {
    '': 'expected JSON: {"state": …, "weight": …}',
    '{': 'expected JSON: {"state": …, "weight": …}',
    '\u0000': 'expected JSON: {"state": …, "weight": …}',
    null: 'expected {"state": …, "weight": …}, got null',
    '[]': 'expected {"state": …, "weight": …}, got []',
    '"maint"': 'expected {"state": …, "weight": …}, got "maint"',
    '{}': 'nothing to change: expected state or weight',
    '{"weight":257}': 'weight: expected a whole number from 0 to 256, got 257',
    '{"weight":1.5}': 'weight: expected a whole number from 0 to 256, got 1.5',
    '{"weight":"1"}': 'weight: expected a whole number from 0 to 256, got "1"',
    '{"state":"down"}': 'state: expected one of ready, drain, maint, got "down"',
    '{"state":5}': 'state: expected one of ready, drain, maint, got 5',
    '{"state":"maint","wait":1}': 'unknown key "wait". Known: state, weight',
    '{"state":"maint","State":"maint"}': 'unknown key "State". Did you mean "state"?',
    '{"state":"maint","__proto__":{"weight":0}}': 'unknown key "__proto__". Known: state, weight',
    '{"state":"maint","constructor":{"prototype":{}}}': 'unknown key "constructor". Known: state, weight',
  };
  for (const [body, error] of Object.entries(wrong)) assert.deepEqual(await put('b/s1', body), [400, error], body);
  assert.deepEqual(await put('c/s1', MAINT), [404, 'there is no backend c. Did you mean "b"? There are b']);
  assert.deepEqual(await put('b/s9', MAINT), [404, 'there is no server s9 in b. Did you mean "s1"? There are s1']);
  assert.deepEqual(await put('b/%zz', MAINT), [404, 'there is no server %zz in b; there are s1']);
  assert.deepEqual(await put('b/__proto__', MAINT), [404, 'there is no server __proto__ in b; there are s1']);
  const large = JSON.stringify({ state: 'maint', padding: 'x'.repeat(1 << 20) });
  assert.deepEqual(await put('b/s1', large), [413, 'more than 16384 bytes']);
  for (const path of [
    '//',
    '/api/v1/servers/b',
    '/api/v1/servers/b/s1/more',
    '/api/v1/statu',
    '/%zz',
    '/../etc/passwd',
  ]) {
    assert.equal((await api(berth, 'GET', path)).status, 404, path);
  }
  for (const query of ['', '?ip=', '?ip=localhost', '?ip=10.0.0.0/8', '?ip=1.2.3']) {
    assert.equal((await api(berth, 'GET', `/api/v1/explain${query}`)).status, 400, query);
  }
  assert.equal((await serverStatus(berth, 's1'))?.state, 'ready');
});

test('a unix socket answers its owner, and goes with the program', async (t) => {
  const path = join(folderOf(t), 'admin.sock');
  const berth = await running(t, adminAt(`unix:${path}`));
  assert.equal((await askAt(`unix:${path}`, 'GET', '/api/v1/status', { headers: { host: 'localhost' } })).status, 200);
  assert.equal(
    (await askAt(`unix:${path}`, 'GET', '/api/v1/status', { headers: { host: 'evil.example' } })).status,
    403,
  );
  assert.equal(statSync(path).mode & 0o022, 0, 'others may not write to it, so they may not connect');
  const { code, out } = await command('maint', 'b/s1', '-c', berth.file);
  assert.deepEqual([code, out], [0, 's1 is maint; 0 connections open\n']);
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.throws(() => statSync(path));
});

test('clients that send nothing, or a byte at a time, keep nobody waiting; they are sent away', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const address = String(berth.lines.find(({ msg }) => msg === 'admin listening')?.['address']);
  const [port, service] = [Number(address.split(':').at(-1)), await berth.port()];
  const slow = Array.from({ length: 12 }, (_, i) => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    if (i % 3 === 1) socket.write('PUT /api/v1/servers/b/s1 HTTP/1.1\r\nhost: localhost\r\n');
    if (i % 3 === 2)
      socket.write('PUT /api/v1/servers/b/s1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{');
    t.after(() => socket.destroy());
    // Whose request was not read to its end may see a reset.
    return new Promise((resolve) => socket.resume().once('close', resolve));
  });
  await Promise.all(slow.map((_, i) => (i < 3 ? status(berth) : whoServes(service))));
  assert.equal((await setState(berth, 's1', 'drain')).status, 200);
  await within(Promise.all(slow), 'slow clients to be sent away');
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
});

test('the standard admin address is done without where another process has it; one that was asked for is not', async (t) => {
  const other = createServer().listen(9181, '127.0.0.1');
  // Somebody may have it already: then it is taken all the same.
  await new Promise((resolve) => other.once('listening', resolve).once('error', resolve));
  t.after(() => other.close());
  const servers = await serve(t, ['s1']);
  const { admin: _, ...silent } = settings(servers);
  const berth = await start(t, silent);
  const line = await berth.line(({ level }) => level === 'warn');
  assert.equal(line.msg, 'no admin address: 127.0.0.1:9181 is taken. Set admin.bind to have one');
  assert.equal(await whoServes(await berth.port()), 's1');
  assert.equal((await reload(berth)).msg, 'reloaded');
  assert.equal((await reload(berth, settings(servers))).msg, 'reloaded');
  const address = String(berth.lines.find(({ msg }) => msg === 'admin listening')?.['address']);
  assert.equal((await status(berth)).stage, 'running');
  assert.equal((await reload(berth, silent)).msg, 'reloaded');
  const left = new Client({ port: Number(address.split(':').at(-1)) });
  assert.equal(await left.ended, 'refused', 'it is not open where nobody asked for it any more');

  const asked = new Berth(settings(servers, {}, adminAt('127.0.0.1:9181')));
  t.after(() => asked.stop());
  assert.equal(await asked.exitCode(), 1);
  assert.match(
    asked.stderr,
    /^berth: cannot listen on 127\.0\.0\.1:9181 \(admin\): another process listens there[^\n]*\n$/,
  );
});

for (const [what, frontend, metrics] of [
  ['a frontend', '*:9181', '127.0.0.1:0'],
  ['the metrics address', '127.0.0.1:0', 'localhost:9181'],
] as const) {
  test(`where nobody asked for an admin address ${what} may have its port`, { skip: NOT_ROOT }, async (t) => {
    // A network of its own: whoever else has the port on this machine.
    const through = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"'];
    const { admin: _, ...silent } = settings(NOBODY, { healthCheck: false }, { metrics: { bind: metrics } });
    const file = yaml({ ...silent, frontends: { f: { bind: frontend, backend: 'b' } } });
    const berth = await start(t, file, { through });
    const ports = berth.lines
      .filter(({ msg }) => msg.endsWith('listening'))
      .map(({ address }) => String(address).split(':').at(-1));
    assert.ok(ports.includes('9181') && ports.length === 2, ports.join());
    assert.deepEqual(
      berth.lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg),
      ['no admin address: 127.0.0.1:9181 is taken. Set admin.bind to have one'],
    );
  });
}
