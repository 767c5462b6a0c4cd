import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { Berth, start, type LogLine } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { openNamespace } from '../support/namespace.ts';
import { explain, explainAway, serverStatus, setState, status } from '../support/operator.ts';
import { Crowd, whoServes } from '../support/people.ts';
import { openWorkspace } from '../support/processes.ts';
import { serve, type TestServer } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

type Kept = { readonly file: string; readonly berth: Berth; readonly port: number };

/** A balancer that keeps its state in `file`. */
async function keeping(
  t: TestContext,
  servers: readonly TestServer[],
  file: string,
  backend: object = {},
  interval = '1h',
): Promise<Kept> {
  const berth = await start(t, settings(servers, backend, { state: { file, interval } }));
  return { file, berth, port: await berth.port() };
}

async function end(berth: Berth): Promise<void> {
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
}

/** What a start says of the state it found. */
const found = (berth: Berth): Promise<LogLine> => berth.line(({ msg }) => msg.startsWith('state'));

/** A state file as Berth writes it. */
function stateFile(bindings: Record<string, string>, { savedAt = Date.now(), ms = 60_000 } = {}): string {
  const lines = [
    { format: 'berth state 1', savedAt },
    ...Object.entries(bindings).map(([client, server]) => ({ backend: 'b', server, client, ms })),
    { lines: Object.keys(bindings).length },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

test('bindings and the operator’s states survive a restart', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const file = join(folderOf(t), 'state');
  const before = await keeping(t, servers, file);
  const clients = [1, 2, 3, 4, 5].map((i) => `127.0.7.${i}`);
  const places: string[] = [];
  for (const from of clients) places.push(await whoServes(before.port, from));
  await setState(before.berth, 's2', 'drain');
  await setState(before.berth, 's3', 'maint');
  const said = await serverStatus(before.berth, 's3');
  await end(before.berth);
  assert.deepEqual(readdirSync(join(file, '..')), ['state'], 'no draft is left behind');
  assert.equal(statSync(file).mode & 0o777, 0o600, 'who is a client is nobody else’s business');

  const after = await keeping(t, servers, file);
  const { bindings, states } = await found(after.berth);
  assert.deepEqual([bindings, states], [5, 2]);
  assert.equal((await serverStatus(after.berth, 's2'))?.state, 'drain');
  const { state, stateWho, stateSince } = (await serverStatus(after.berth, 's3'))!;
  assert.deepEqual([state, stateWho, stateSince], ['maint', said!.stateWho, said!.stateSince], 'who said it, and when');
  await setState(after.berth, 's3', 'ready');
  for (const [i, from] of clients.entries()) assert.equal(await whoServes(after.port, from), places[i]);
});

test('the life of a binding goes on while the balancer is away; one that has run out is not brought back', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const folder = folderOf(t);
  const file = join(folder, 'state');
  const stick = { stickTable: { expire: '1h' } };
  const { berth, port } = await keeping(t, servers, file, stick);
  await whoServes(port, '127.0.7.1');
  const { expiresMs } = await explainAway(berth, '127.0.7.1');
  await end(berth);
  const ms = Number(/"ms":(\d+)/.exec(readFileSync(file, 'utf8'))?.[1]);
  assert.ok(ms > 3_590_000 - 60_000 && ms <= expiresMs!, `${ms} of ${expiresMs}`);

  const minuteAgo = Date.now() - 60_000;
  writeFileSync(file, stateFile({ '127.0.7.1': 's2' }, { savedAt: minuteAgo, ms: 90_000 }));
  const away = await keeping(t, servers, file, stick);
  const left = (await explain(away.berth, '127.0.7.1')).expiresMs ?? 0;
  assert.ok(left > 0 && left <= 30_000, `${left}`);
  await end(away.berth);

  writeFileSync(file, stateFile({ '127.0.7.1': 's2', '127.0.7.2': 's2' }, { savedAt: minuteAgo, ms: 59_000 }));
  const late = await keeping(t, servers, file, stick);
  assert.equal((await found(late.berth))['bindings'], 0);
  assert.equal((await explain(late.berth, '127.0.7.1')).server, null);
  await end(late.berth);

  // A clock that was set back gives no time back, and a binding never lives longer than the configuration says.
  writeFileSync(file, stateFile({ '127.0.7.1': 's2' }, { savedAt: Date.now() + 3_600_000, ms: 7_200_000 }));
  const early = await keeping(t, servers, file, stick);
  const most = (await explain(early.berth, '127.0.7.1')).expiresMs ?? 0;
  assert.ok(most > 0 && most <= 3_600_000, `${most}`);
});

test('a binding whose expire has passed while the balancer was down is gone', async (t) => {
  const servers = await serve(t, ['s1']);
  const file = join(folderOf(t), 'state');
  const stick = { stickTable: { expire: '300ms' } };
  const { berth, port } = await keeping(t, servers, file, stick);
  await whoServes(port, '127.0.7.1');
  await end(berth);
  const savedAt = Number(/"savedAt":(\d+)/.exec(readFileSync(file, 'utf8'))?.[1]);
  await eventually('its time to be over', () => Date.now() > savedAt + 300);
  const after = await keeping(t, servers, file, stick);
  assert.equal((await explain(after.berth, '127.0.7.1')).server, null);
});

test('a state file that is torn is set aside with a warning, and the start goes on', async (t) => {
  const servers = await serve(t, ['s1']);
  const file = join(folderOf(t), 'state');
  const content = stateFile({ '127.0.7.1': 's1', '127.0.7.2': 's1' }).slice(0, -40);
  writeFileSync(file, content);
  const { berth, port } = await keeping(t, servers, file);
  const line = await found(berth);
  assert.deepEqual([line.msg, line.level], ['state set aside', 'warn']);
  assert.match(String(line['reason']), new RegExp(`; it is kept as ${file}\\.bad$`));
  assert.equal(readFileSync(`${file}.bad`, 'utf8'), content);
  assert.equal(await whoServes(port), 's1');
  await end(berth);
  assert.match(readFileSync(file, 'utf8'), /^\{"format":"berth state 1"/);
});

test('the configuration wins: a server that is gone, a smaller table, no table', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = join(folderOf(t), 'state');
  const content = stateFile({ '127.0.7.1': 's1', '127.0.7.2': 's3', '127.0.7.3': 's1', '127.0.7.4': 's2' });
  writeFileSync(file, content);
  const gone = await keeping(t, servers, file);
  assert.equal((await explain(gone.berth, '127.0.7.2')).server, null);
  assert.deepEqual((await status(gone.berth)).backends[0]?.stickTable, { size: 200_000, entries: 3, shared: null });
  await gone.berth.stop();

  const smaller = await keeping(t, servers, file, { stickTable: { size: 2 } });
  assert.deepEqual((await status(smaller.berth)).backends[0]?.stickTable, { size: 2, entries: 2, shared: null });
  const bound = await Promise.all([1, 3, 4].map((i) => explain(smaller.berth, `127.0.7.${i}`)));
  assert.deepEqual(
    bound.map(({ server }) => server),
    [null, 's1', 's2'],
    'the oldest went first',
  );
  await smaller.berth.stop();

  const none = await keeping(t, servers, file, { stickTable: false });
  assert.equal((await found(none.berth))['bindings'], 0);
  assert.equal(await whoServes(none.port, '127.0.7.1'), 's1');
});

test('a place where no state can be written is one clear line, and exit 1', async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'folder'));
  const socket = createServer().listen(join(folder, 'socket'));
  t.after(() => socket.close());
  await once(socket, 'listening');
  const cases = {
    'missing/state': 'its folder does not exist',
    'file/state': 'its folder is a file',
    folder: 'it is a folder',
    // A device, such as /dev/null, is told in the same way.
    socket: 'it is a socket; leave state.file empty to keep no state',
  };
  for (const [where, why] of Object.entries(cases)) {
    const file = join(folder, where);
    const berth = new Berth(settings([{ name: 's1', address: '127.0.0.1:1' }], {}, { state: { file } }));
    t.after(() => berth.stop());
    assert.equal(await berth.exitCode(), 1);
    assert.equal(berth.stderr, `berth: cannot write the state file ${file}: ${why}\n`);
  }
  assert.deepEqual(readdirSync(folder).toSorted(), ['file', 'folder', 'socket']);
});

test('a folder that goes away while it runs costs a line in the log, no connection', async (t) => {
  const servers = await serve(t, ['s1']);
  const folder = join(folderOf(t), 'inner');
  mkdirSync(folder);
  const { berth, port } = await keeping(t, servers, join(folder, 'state'), {}, '20ms');
  await eventually('a first save', () => existsSync(join(folder, 'state')));
  renameSync(folder, `${folder}-gone`);
  await berth.line(({ msg }) => msg === 'state not saved');
  assert.equal(await whoServes(port), 's1');
  await end(berth);
});

test('killed at any moment, it leaves a file that can be read', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = join(folderOf(t), 'state');
  const many = Object.fromEntries(
    Array.from({ length: 5_000 }, (_, i) => [`10.${i >> 8}.${i & 255}.1`, `s${1 + (i % 2)}`]),
  );
  writeFileSync(file, stateFile(many, { ms: 1_800_000 }));
  for (let round = 0; round < 8; round++) {
    const { berth, port } = await keeping(t, servers, file, {}, '5ms');
    const line = await found(berth);
    assert.equal(line.msg, 'state', JSON.stringify(line));
    assert.ok(Number(line['bindings']) >= 5_000, JSON.stringify(line));
    const crowd = new Crowd(port, 2);
    // Some saves further, in the middle of one.
    await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 60));
    berth.signal('SIGKILL');
    await berth.exitCode();
    await crowd.leave();
  }
});

test('saves that take longer than their interval do not queue up: the end is not kept waiting', async (t) => {
  const servers = await serve(t, ['s1']);
  const file = join(folderOf(t), 'state');
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`10.${i >> 8}.${i & 255}.1`, 's1']));
  writeFileSync(file, stateFile(many));
  const { berth } = await keeping(t, servers, file, {}, '1ms');
  const { ino } = statSync(file);
  await eventually('a save', () => existsSync(file) && statSync(file).ino !== ino);
  // Long enough for hundreds to wait, were they to.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const seen = statSync(file).ino;
  let saves = 0;
  let last = seen;
  berth.signal('SIGTERM');
  const ended = berth.exitCode();
  const timer = setInterval(() => {
    const now = existsSync(file) ? statSync(file).ino : last;
    if (now !== last) saves++;
    last = now;
  }, 1);
  assert.equal(await ended, 0);
  clearInterval(timer);
  assert.ok(saves <= 3, `${saves} saves after SIGTERM`);
});

test('a signal that ends the start leaves the state alone', async (t) => {
  const servers = await serve(t, ['s1']);
  const file = join(folderOf(t), 'state');
  // The start waits for what this file says.
  execFileSync('mkfifo', [file]);
  const berth = await start(t, settings(servers, {}, { state: { file } }), { quiet: true });
  const pen = await eventually('the balancer to read its state', () => {
    try {
      return openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
  });
  berth.signal('SIGTERM');
  await berth.line(({ msg }) => msg === 'draining');
  writeSync(pen, stateFile({ '127.0.7.1': 's1' }));
  closeSync(pen);
  assert.equal(await berth.exitCode(), 0);
  assert.ok(statSync(file).isFIFO(), 'not replaced by a state without bindings');
  assert.ok(!berth.lines.some(({ msg }) => msg === 'started'));
});

test('what could not be read is not written over, and the log says until when', async (t) => {
  const file = join(folderOf(t), 'state');
  // A link to itself: the system refuses to read it, and would let it be replaced.
  symlinkSync(file, file);
  const state = { file, interval: '50ms' };
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers, {}, { state }));
  const line = await berth.line(({ level }) => level === 'warn');
  assert.equal(line.msg, 'state not read; the file stays as it is, and nothing is saved to it until a restart');
  assert.match(String(line['reason']), /ELOOP/);
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.ok(lstatSync(file).isSymbolicLink());
  assert.throws(() => lstatSync(`${file}.bad`), { code: 'ENOENT' });
});

test('a link to the state file stays, and leads to the state', async (t) => {
  const folder = folderOf(t);
  const [link, file] = [join(folder, 'state'), join(folder, 'volume', 'state')];
  mkdirSync(join(folder, 'volume'));
  symlinkSync('volume/state', link);
  const servers = await serve(t, ['s1', 's2']);
  const first = await keeping(t, servers, link);
  assert.equal(await whoServes(first.port), 's1');
  await end(first.berth);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.ok(lstatSync(file).isFile());
  const second = await keeping(t, servers, link);
  assert.equal((await found(second.berth))['bindings'], 1);
  await second.berth.stop();

  writeFileSync(file, 'torn');
  const third = await keeping(t, servers, link);
  assert.equal((await found(third.berth)).msg, 'state set aside');
  assert.equal(readFileSync(`${file}.bad`, 'utf8'), 'torn');
  assert.ok(lstatSync(link).isSymbolicLink());
});

test(
  'a state file that is mounted by itself, as into a container, is written and read',
  { skip: noNamespaces('mount') },
  async (t) => {
    const folder = folderOf(t);
    const [source, file] = [join(folder, 'source'), join(folder, 'state')];
    writeFileSync(source, '');
    writeFileSync(file, '');
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    const { through } = await openNamespace(workspace, { script: `mount --bind ${source} ${file}` }).then(
      (namespace) => ({ through: namespace.through('mount') }),
    );
    const servers = await serve(t, ['s1', 's2']);
    const config = settings(servers, {}, { state: { file, interval: '1h' } });
    const first = await start(t, config, { through });
    assert.equal((await found(first)).msg, 'state set aside');
    assert.equal(await whoServes(await first.port()), 's1');
    await end(first);
    assert.ok(!first.lines.some(({ msg }) => msg === 'state not saved'));
    const second = await start(t, config, { through });
    assert.equal((await found(second))['bindings'], 1);
    assert.deepEqual(readdirSync(folder).toSorted(), ['source', 'state', 'state.bad']);
  },
);
