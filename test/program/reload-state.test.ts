/** A state file that a reload names for the first time. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { explain, reload, serverStatus, setState } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

type Kept = { readonly bindings?: Record<string, string>; readonly states?: Record<string, string> };

/** A state file as Berth writes it, for backend `b`. */
function stateFile({ bindings = {}, states = {} }: Kept): string {
  const records = [
    ...Object.entries(states).map(([server, state]) => ({ backend: 'b', server, state })),
    ...Object.entries(bindings).map(([client, server]) => ({ backend: 'b', server, client, ms: 1_000_000 })),
  ];
  return [{ format: 'berth state 1', savedAt: Date.now() }, ...records, { lines: records.length }]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
}

function readState(file: string): Required<Kept> {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const kept: Required<Kept> = { bindings: {}, states: {} };
  for (const line of lines.map((text) => JSON.parse(text) as Record<string, string>)) {
    if (line['client'] !== undefined) kept.bindings[line['client']] = line['server']!;
    else if (line['state'] !== undefined) kept.states[line['server']!] = line['state'];
  }
  return kept;
}

for (const [before, named] of [
  ['no state file', undefined],
  ['another state file', 'before'],
] as const) {
  test(`a reload reads a state file that takes the place of ${before}, and keeps what stands`, async (t) => {
    const servers = await serve(t, ['s1', 's2', 's3', 's4']);
    const folder = folderOf(t);
    const keeping = (name: string | undefined) =>
      settings(servers, {}, name === undefined ? {} : { state: { file: join(folder, name), interval: '20ms' } });
    const berth = await start(t, keeping(named));
    const port = await berth.port();
    const open = new Client({ port, from: '127.0.7.1' });
    assert.equal(await open.line(), 's1');
    assert.equal(await whoServes(port, '127.0.7.2'), 's2');
    const fromFile = {
      bindings: { '127.0.7.1': 's2', '127.0.7.2': 's1', '127.0.7.3': 's2', '127.0.7.4': 's4' },
      states: { s3: 'maint', s4: 'drain' },
    };
    writeFileSync(join(folder, 'after'), stateFile(fromFile));

    assert.equal((await reload(berth, keeping('after'))).msg, 'reloaded');
    for (const [server, state] of [
      ['s1', 'ready'],
      ['s2', 'ready'],
      ['s3', 'maint'],
      ['s4', 'drain'],
    ] as const) {
      assert.equal((await serverStatus(berth, server))?.state, state, server);
    }
    const places = { '127.0.7.1': 's1', '127.0.7.2': 's2', '127.0.7.3': 's2', '127.0.7.4': 's4' };
    for (const [client, server] of Object.entries(places)) {
      assert.equal((await explain(berth, client)).server, server, client);
      assert.equal(await whoServes(port, client), server, client);
    }
    open.socket.write('still here');
    await open.bytes('s1\nstill here'.length);
    await open.finish();

    // The new file is written from now on, with what was known before the reload too.
    const wanted = { bindings: places, states: fromFile.states };
    await eventually('a save', () => readState(join(folder, 'after')).bindings['127.0.7.1'] === 's1');
    berth.signal('SIGTERM');
    assert.equal(await berth.exitCode(), 0);
    assert.deepEqual(readState(join(folder, 'after')), wanted);
  });
}

test('a reload that names the same state file does not read it again', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = join(folderOf(t), 'state');
  writeFileSync(file, stateFile({ bindings: { '127.0.7.1': 's2', '127.0.7.9': 's2' }, states: { s2: 'drain' } }));
  const plain = settings(servers, {}, { state: { file, interval: '1h' } });
  const berth = await start(t, plain);
  await setState(berth, 's2', 'ready');
  writeFileSync(file, stateFile({ bindings: { '127.0.7.8': 's2' }, states: { s1: 'maint' } }));
  assert.equal((await reload(berth, { ...plain, log: { level: 'debug' } })).msg, 'reloaded');
  assert.deepEqual(
    [(await serverStatus(berth, 's1'))?.state, (await serverStatus(berth, 's2'))?.state],
    ['ready', 'ready'],
  );
  assert.equal((await explain(berth, '127.0.7.8')).server, null);
  assert.equal((await explain(berth, '127.0.7.9')).server, 's2');
});

test('what the operator has said since stands against a state file that a reload names', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = join(folderOf(t), 'state');
  writeFileSync(file, stateFile({ states: { s1: 'maint', s2: 'maint' } }));
  const berth = await start(t, settings(servers));
  await setState(berth, 's1', 'drain');
  await setState(berth, 's1', 'ready');
  await reload(berth, settings(servers, {}, { state: { file } }));
  assert.deepEqual(
    [(await serverStatus(berth, 's1'))?.state, (await serverStatus(berth, 's2'))?.state],
    ['ready', 'maint'],
  );
});
