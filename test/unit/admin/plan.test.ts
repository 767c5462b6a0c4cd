/** What a reload would change, asked of the admin address. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Inside } from '../../support/inside.ts';
import { Client } from '../../support/clients.ts';
import { folderOf, openFilesOf } from '../../support/files.ts';
import { listen } from '../../support/listening.ts';
import { api, status, type Answer } from '../../support/operator.ts';
import { clients, places } from '../../support/people.ts';
import { serve } from '../../support/servers.ts';
import { settings, yaml, type Settings } from '../../support/settings.ts';
import { eventually } from '../../support/waiting.ts';

type Change = { kind: string; what: string; detail: string; clients: number; connections: number };
type Plan = { same: boolean; changes: Change[]; clients: number; connections: number };
const NOBODY = [{ name: 's1', address: '127.0.0.1:1' }];
const YAML = { 'content-type': 'application/yaml' };

const asks = (berth: Inside, file: Settings | string, query = ''): Promise<Answer> =>
  api(berth, 'POST', `/api/v1/plan${query}`, { body: yaml(file), headers: YAML });

async function planOf(berth: Inside, file?: Settings): Promise<Plan> {
  const answer = file ? await asks(berth, file) : await api(berth, 'GET', '/api/v1/plan');
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body as Plan;
}

test('a plan says what comes, leaves, changes, opens and closes, and who is concerned; a reload does just that', async (t) => {
  const [s1, s2, s3] = await serve(t, ['s1', 's2', 's3']);
  const before = settings([s1!, s2!], {}, { timeouts: { idle: '10m' } });
  const berth = await Inside.start(t, before);
  const port = await berth.port();
  assert.deepEqual(await planOf(berth), { same: true, changes: [], clients: 0, connections: 0 });
  assert.deepEqual(await places(port, clients(4)), ['s1', 's2', 's1', 's2']);
  const open = new Client({ port, from: '127.0.7.1' });
  assert.equal(await open.line(), 's1');

  const list = { s2: { address: s2!.address, weight: 3 }, s3: s3!.address };
  const after: Settings = {
    ...settings([], { servers: list, retries: 1 }, { timeouts: { idle: '5m' } }),
    frontends: { f: before.frontends['f']!, g: { bind: '127.0.0.1:0', backend: 'b' } },
  };
  const { same, changes, ...concerned } = await planOf(berth, after);
  assert.equal(same, false);
  assert.deepEqual(concerned, { clients: 2, connections: 1 });
  const [opens, ...rest] = changes;
  assert.deepEqual([opens?.kind, opens?.what], ['opens', 'frontend g']);
  const none = { clients: 0, connections: 0 };
  assert.deepEqual(rest, [
    { kind: 'comes', what: 'frontend g', detail: '', ...none },
    { kind: 'changes', what: 'backend b', detail: 'retries: 3 -> 1', ...none },
    { kind: 'leaves', what: 'server b/s1', detail: '', clients: 2, connections: 1 },
    { kind: 'changes', what: 'server b/s2', detail: 'weight: 1 -> 3', ...none },
    { kind: 'comes', what: 'server b/s3', detail: `address: ${s3!.address}`, ...none },
    { kind: 'changes', what: 'timeouts', detail: 'idle: 10m -> 5m', ...none },
  ]);
  const { backends, frontends } = await status(berth);
  assert.deepEqual(
    [backends[0]!.servers.map(({ name }) => name), frontends.map(({ name }) => name)],
    [['s1', 's2'], ['f']],
    'nothing has changed',
  );
  assert.deepEqual(await places(port, clients(2)), ['s1', 's2']);

  writeFileSync(berth.file, yaml(after));
  assert.equal((await planOf(berth)).same, false);
  const { body } = await api(berth, 'POST', '/api/v1/reload');
  const done = (body as { changes: string[] }).changes;
  assert.match(done[0]!, /^frontend g opens: 127\.0\.0\.1:\d+$/);
  assert.deepEqual(done.slice(1), [
    'frontend g comes',
    'backend b changes: retries: 3 -> 1',
    'server b/s1 leaves (2 clients, 1 connection)',
    'server b/s2 changes: weight: 1 -> 3',
    `server b/s3 comes: address: ${s3!.address}`,
    'timeouts changes: idle: 10m -> 5m',
  ]);
  assert.equal((await planOf(berth)).same, true);
  assert.equal((await planOf(berth, before)).changes.filter(({ kind }) => kind === 'closes').length, 1);
  await open.finish();
});

test('a plan leaves nothing: no socket, no file, no check, no series, no clients that wait', async (t) => {
  const folder = folderOf(t);
  const berth = await Inside.start(t, settings(NOBODY, { healthCheck: false }));
  await status(berth);
  const files = openFilesOf(berth.pid);
  const stale = join(folder, 'stale.sock');
  writeFileSync(stale, '');
  const [node] = await serve(t, ['s2']);
  const after: Settings = {
    ...settings([node!], {}, { state: { file: join(folder, 'state') } }),
    frontends: { g: { bind: ['127.0.0.1:0', `unix:${folder}/new.sock`], backend: 'b' } },
  };
  const { changes } = await planOf(berth, after);
  assert.deepEqual(
    changes.flatMap(({ kind, what }) => (kind === 'opens' ? [what] : [])),
    ['frontend g', 'frontend g'],
  );
  for (const name of ['state', 'state.try', 'state.new', 'new.sock'])
    assert.equal(existsSync(join(folder, name)), false, name);
  await eventually('as many files as before', () => openFilesOf(berth.pid) <= files);
  const text = await berth.metrics();
  assert.ok(!text.includes('server="s2"') && !text.includes('frontend="g"'));
  const opened = changes.find(({ kind, detail }) => kind === 'opens' && detail.startsWith('127.'))!;
  assert.equal(await new Client({ port: Number(opened.detail.split(':').at(-1)) }).ended, 'refused');
  assert.ok(!berth.lines.some(({ event }) => event === 'reloaded' || event === 'operator'));
});

test('what would keep the old configuration in force is told: a bind that is taken, a state file, a wrong key', async (t) => {
  const berth = await Inside.start(t, settings(NOBODY, { healthCheck: false }));
  const taken = await listen(t, createServer());
  const folder = folderOf(t);
  const wrong: [RegExp, Settings | string][] = [
    [/^cannot listen on .*another process listens there/, settings(NOBODY, {}, {}, { bind: `127.0.0.1:${taken}` })],
    [
      /^cannot write the state file .*its folder does not exist/,
      settings(NOBODY, {}, { state: { file: '/nowhere/state' } }),
    ],
    [/^cannot write the state file .*it is a folder/, settings(NOBODY, {}, { state: { file: folder } })],
    [/^mine\.yml:1:1: backend: unknown key\./, 'backend: {}'],
    [/^cannot listen on unix:\/nowhere\/x\.sock/, settings(NOBODY, {}, {}, { bind: 'unix:/nowhere/x.sock' })],
  ];
  for (const [problem, file] of wrong) {
    const { status: code, body } = await asks(berth, file, '?name=mine.yml');
    assert.equal(code, 422, JSON.stringify(body));
    assert.ok(
      (body as { problems: string[] }).problems.some((one) => problem.test(one)),
      JSON.stringify(body),
    );
  }
  assert.equal((await status(berth)).config.lastReload.ok, true, 'the file of the balancer is as good as before');
  const type = await api(berth, 'POST', '/api/v1/plan', { body: 'x', headers: { 'content-type': 'text/plain' } });
  assert.deepEqual([type.status, type.body], [415, { error: 'expected content-type: application/yaml or text/yaml' }]);
  assert.equal((await asks(berth, 'x'.repeat((1 << 20) + 1))).status, 413);
  assert.equal((await asks(berth, '')).status, 422);
});

test('a draft tells nobody the variables and the files of the balancer', async (t) => {
  const secret = 'Hunter2-of-the-service';
  process.env['SERVICE_SECRET'] = secret;
  t.after(() => delete process.env['SERVICE_SECRET']);
  const berth = await Inside.start(t, settings(NOBODY, { healthCheck: false }));
  writeFileSync(join(berth.folder, 'private'), `root:${secret}\n`);
  const drafts = [
    settings(NOBODY, {}, {}, { bind: '${SERVICE_SECRET}' }),
    settings(NOBODY, { balance: 'x${SERVICE_SECRET}${SERVICE_SECRET}${SERVICE_SECRET}${SERVICE_SECRET}' }),
    settings(['${SERVICE_SECRET}:5000']),
    settings(NOBODY, {}, {}, { deny: ['file:private'] }),
    settings(NOBODY, {}, { admin: { bind: '127.0.0.1:0', token: '${SERVICE_SECRET}' } }),
    settings(NOBODY, {}, { state: { file: '/nowhere/${SERVICE_SECRET}' } }),
  ];
  for (const draft of drafts) {
    const { status: code, body } = await asks(berth, draft);
    assert.ok(code === 422 || code === 200, JSON.stringify(body));
    assert.ok(!JSON.stringify(body).toLowerCase().includes('hunter2'), JSON.stringify(body));
  }
});

test('plans and reloads at one time go one after another', async (t) => {
  const one = settings(NOBODY, { healthCheck: false });
  const berth = await Inside.start(t, one);
  const two = { ...one, frontends: { ...one.frontends, g: { bind: '127.0.0.1:0', backend: 'b' } } };
  const answers: Promise<Answer>[] = [];
  for (let i = 0; i < 3; i++) {
    writeFileSync(berth.file, yaml(i % 2 === 0 ? two : one));
    answers.push(api(berth, 'POST', '/api/v1/reload'), asks(berth, two), api(berth, 'GET', '/api/v1/plan'));
    await Promise.all(answers);
  }
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
  assert.equal((await planOf(berth)).same, true);
});
