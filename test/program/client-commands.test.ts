/** The commands about clients: who is bound where, who is connected, who does what, and their ends. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { BERTH_WORDS, start, type Berth } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { follow } from '../support/following.ts';
import { command, explain, serverStatus, setState } from '../support/operator.ts';
import { come, hold } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

async function stand(t: TestContext): Promise<Berth> {
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  return start(t, settings(await serve(t, ['s1', 's2']), { healthCheck: false }, admin));
}

/** What a command prints, as cells by their titles; it must succeed. */
async function rows(berth: Berth, ...args: string[]): Promise<Record<string, string>[]> {
  const { code, out, err } = await command(...args, '-c', berth.file);
  assert.deepEqual([code, err], [0, ''], args.join(' '));
  const [titles = [], ...lines] = out
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/));
  return lines.map((cells) => Object.fromEntries(cells.map((cell, i) => [titles[i], cell])));
}

async function json(berth: Berth, ...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, out } = await command(...args, '--json', '-c', berth.file);
  assert.equal(code, 0);
  return JSON.parse(out) as Record<string, unknown>[];
}

test('table lists bindings: all, of a client, of a server; --json has each, and an empty list is a list', async (t) => {
  const berth = await stand(t);
  assert.deepEqual(await json(berth, 'table'), []);
  await come(berth, '127.0.7.1');
  const client = await hold(berth, '127.0.7.2');
  const all = await rows(berth, 'table');
  const bound = Object.fromEntries(all.map(({ CLIENT = '', SERVER }) => [CLIENT, SERVER]));
  assert.deepEqual(bound, { '127.0.7.1': 's1', '127.0.7.2': 's2' });
  const [held] = await rows(berth, 'table', '127.0.7.2');
  assert.deepEqual([held?.['CONNS'], held?.['EXPIRES'], held?.['HOME']], ['1', 'open', '-']);
  assert.deepEqual(
    (await rows(berth, 'table', '--server', 'b/s1')).map(({ CLIENT }) => CLIENT),
    ['127.0.7.1'],
  );
  assert.deepEqual(
    (await json(berth, 'table', '127.0.7.2')).map(({ server }) => server),
    ['s2'],
  );
  await client.finish();
});

test('connections and whois: what a node logs as the address leads to the client', async (t) => {
  const berth = await stand(t);
  const client = await hold(berth, '127.0.7.1');
  const [open] = await rows(berth, 'connections', '--client', '127.0.7.1');
  assert.deepEqual([open?.['SERVER'], open?.['PHASE'], open?.['BACKEND']], ['s1', 'data', 'b']);
  const from = String(open?.['FROM']);
  const is = await command('whois', from, '-c', berth.file);
  assert.match(is.out, new RegExp(`^${from} is ${open?.['CLIENT']}, by f to b/s1, since \\S+Z\n$`));
  await client.finish();
  await berth.connections(1);
  const was = await command('whois', from, '-c', berth.file);
  assert.match(was.out, new RegExp(`^${from} was ${open?.['CLIENT']}, by f to b/s1, \\S+Z to \\S+Z, end --\n$`));
  const nobody = await command('whois', '127.0.0.1:1', '-c', berth.file);
  assert.deepEqual([nobody.code, nobody.out], [1, '']);
  assert.match(nobody.err, /^berth: 127\.0\.0\.1:1 is none of the open connections[^\n]*\n$/);
});

test('sessions has a line for each client, with its connections together', async (t) => {
  const berth = await stand(t);
  const clients = [await hold(berth, '127.0.7.1'), await hold(berth, '127.0.7.1')];
  const [one, ...others] = await rows(berth, 'sessions', '--client', '127.0.7.1');
  assert.deepEqual([one?.['CLIENT'], one?.['SERVER'], one?.['CONNS'], others.length], ['127.0.7.1', 's1', '2', 0]);
  const [row] = await json(berth, 'sessions');
  assert.equal(row?.['connections'], 2);
  for (const client of clients) await client.finish();
});

test('--sort puts the largest first: of clients, sessions, connections and servers; another column is refused', async (t) => {
  const berth = await stand(t);
  const held = [];
  // The first of two servers gets one connection, the second three of one client.
  for (const from of ['127.0.7.1', '127.0.7.2', '127.0.7.2', '127.0.7.2']) held.push(await hold(berth, from));
  held[0]!.socket.write(Buffer.alloc(100_000));
  await eventually('bytes to be counted', async () =>
    (await json(berth, 'connections')).some(({ bytesIn }) => Number(bytesIn) > 0),
  );
  const first = async (title: string, ...args: string[]): Promise<string | undefined> =>
    (await rows(berth, ...args))[0]?.[title];
  assert.equal(await first('CLIENT', 'table', '--sort', 'conns'), '127.0.7.2');
  assert.equal(await first('CLIENT', 'sessions', '--sort', 'CONNS'), '127.0.7.2');
  assert.equal(await first('CLIENT', 'sessions', '--sort', 'in'), '127.0.7.1');
  assert.equal((await first('CLIENT', 'connections', '--sort', 'in'))?.split(':')[0], '127.0.7.1');
  const ages = (await json(berth, 'connections', '--sort', 'age')).map(({ ageMs }) => Number(ageMs));
  assert.deepEqual(
    ages,
    ages.toSorted((a, b) => b - a),
  );
  const status = await command('status', '--sort', 'conns', '-c', berth.file);
  assert.match(status.out, /^ +s2 .*\n +s1 /m);
  const wrong = await command('sessions', '--sort', 'con', '-c', berth.file);
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.match(wrong.err, /^berth: sessions cannot be sorted by con\. Known: conns, total, /);
  for (const client of held) await client.finish();
});

test('a table of twenty thousand bindings is listed whole, each client once, as the state file had them', async (t) => {
  const folder = folderOf(t);
  const file = join(folder, 'state');
  const clients = Array.from({ length: 20_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  const lines = [
    { format: 'berth state 1', savedAt: Date.now() },
    ...clients.map((client) => ({ backend: 'b', server: 's1', client, ms: 3_600_000 })),
    { lines: clients.length },
  ];
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const rest = { admin: { bind: `unix:${join(folder, 'admin.sock')}` }, state: { file } };
  const berth = await start(t, settings(await serve(t, ['s1']), { healthCheck: false }, rest));
  await berth.port();
  for (const args of [['table'], ['table', '--sort', 'conns'], ['table', '--server', 'b/s1']]) {
    const listed = (await json(berth, ...args)).map(({ client }) => String(client));
    assert.equal(listed.length, clients.length, args.join(' '));
    assert.deepEqual(new Set(listed), new Set(clients));
  }
});

test('on a pipe --watch writes one answer after another, says that the balancer is away, and goes on after that', async (t) => {
  const folder = folderOf(t);
  const file = join(folder, 'balancer.yml');
  const admin = { admin: { bind: `unix:${join(folder, 'admin.sock')}` } };
  const config = settings(await serve(t, ['s1']), { healthCheck: false }, admin);
  const first = await start(t, config, { file });
  const lines = follow(t, 'status', '--watch', '-c', file);
  const lists = follow(t, 'sessions', '--watch', '--json', '-c', file);
  await lines.says(/^ +s1 .* ready(.|\n)*\n\nberth (.|\n)*^ +s1 .* ready/m);
  await lists.says(/^\[\]\n\[\]\n/);
  await first.stop();
  for (const watch of [lines, lists]) await watch.says(/^berth: cannot reach the admin address/m, 'err');
  const second = await start(t, config, { file });
  await setState(second, 's1', 'drain');
  await lines.says(/^ +s1 .* drain/m);
  const seen = lists.out.length;
  await eventually('another list', () => lists.out.length > seen);
  for (const watch of [lines, lists]) assert.equal(await watch.stop('SIGTERM'), 'SIGTERM');
  // A call that can never work is no reason to go on.
  const never = await command('status', '--watch', '-c', join(folder, 'missing.yml'));
  assert.deepEqual([never.code, never.out], [1, '']);
});

test('end ends a connection by its ID, those of a client, and those of a server; the log says K', async (t) => {
  const berth = await stand(t);
  for (const how of [['ID'], ['--client', '127.0.7.1'], ['--server', 'b/s1']]) {
    const seen = berth.lines.length;
    const client = await hold(berth, '127.0.7.1');
    const [open] = await json(berth, 'connections');
    const args = how[0] === 'ID' ? [String(open?.['id'])] : how;
    const { code, out } = await command('end', ...args, '-c', berth.file);
    assert.deepEqual([code, out], [0, '1 connection ended\n'], args.join(' '));
    await client.ended;
    assert.equal((await berth.line(({ msg }) => msg === 'connection', seen))['end'], 'KD');
  }
  const again = await command('end', '1', '-c', berth.file);
  assert.deepEqual([again.code, again.err], [1, 'berth: there is no such connection; it may have ended\n']);
});

test('unbind takes bindings away: of a client, of a server, of all; the open connection stays', async (t) => {
  const berth = await stand(t);
  for (const args of [['127.0.7.1'], ['--server', 'b/s1'], ['--all', 'b']]) {
    const client = await hold(berth, '127.0.7.1');
    // Whoever it is bound to, so that the next one of the round is not the same.
    const at = (await explain(berth, '127.0.7.1')) as { server: string };
    const said = await command('unbind', ...args.map((arg) => arg.replace('s1', at.server)), '-c', berth.file);
    assert.equal(said.code, 0, said.err);
    assert.match(said.out, /^1 client unbound; open connections stay where they are\n$/);
    assert.equal(((await explain(berth, '127.0.7.1')) as { server: string | null }).server, null);
    assert.equal(await client.finish(), 'end');
  }
});

test('weight changes the share of a server, and says what it was', async (t) => {
  const berth = await stand(t);
  const { code, out } = await command('weight', 'b/s1', '3', '-c', berth.file);
  assert.deepEqual([code, out], [0, 's1 has weight 3, before 1\n']);
  assert.equal((await serverStatus(berth, 's1'))?.weight, 3);
});

test('a call that means nothing, or several things, exits 2', async () => {
  const wrong: [string[], RegExp][] = [
    [['table', 'me'], /^berth: table needs an IP address/],
    [['table', '--server', 's1'], /^berth: --server takes BACKEND\/SERVER/],
    [['table', '--ids', 'x'], /^berth: table takes --ids and --state with --haproxy alone/],
    [['connections', '127.0.0.1'], /^berth: connections takes no argument/],
    [['whois', '10.0.0.1'], /^berth: whois needs IP:PORT/],
    [['weight', 'b/s1'], /^berth: weight needs a number from 0 to 256: berth weight b\/s1 3/],
    [['weight', 'b/s1', '257'], /^berth: weight needs a number from 0 to 256/],
    [['weight', 'b/s1', '1', '2'], /^berth: weight takes two arguments, and not also "2"/],
    [['end'], /^berth: end needs an ID of berth connections, --server B\/S or --client IP: berth end 17/],
    [['end', '1', '--client', '127.0.0.1'], /^berth: end needs an ID/],
    [['unbind'], /^berth: unbind needs an IP, --server B\/S or --all BACKEND/],
    [['unbind', '--all', 'b', '--server', 'b/s'], /^berth: unbind needs/],
  ];
  for (const [args, expected] of wrong) {
    const { code, out, err } = await command(...args, '-c', '/nowhere');
    assert.deepEqual([code, out], [2, ''], args.join(' '));
    assert.match(err, expected);
    assert.equal(err.split('\n').length, 2);
  }
});

test('a long list comes page by page, whole, and a reader that has seen enough is no fault', async (t) => {
  const berth = await stand(t);
  const clients = Array.from({ length: 1_050 }, (_, i) => `127.30.${i >> 8}.${i & 255}`);
  for (let i = 0; i < clients.length; i += 50) {
    await Promise.all(clients.slice(i, i + 50).map((client) => come(berth, client)));
  }
  const listed = (await json(berth, 'table')).map(({ client }) => String(client));
  assert.deepEqual(listed.toSorted(), clients.toSorted());
  const lines = (await command('table', '-c', berth.file)).out.trimEnd().split('\n');
  assert.equal(lines.length, clients.length + 1);
  const script = `${BERTH_WORDS} table -c "$0" | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script, berth.file]);
  assert.deepEqual([stdout.split('\n').slice(1), stderr], [['0', ''], '']);
});
