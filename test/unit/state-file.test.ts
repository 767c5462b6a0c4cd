import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { BackendConfig } from '../../src/config/schema.ts';
import type { Teller } from '../../src/log.ts';
import { Backend } from '../../src/pool/backend.ts';
import { hear, type Said as Word } from '../../src/pool/said.ts';
import { StickTable } from '../../src/pool/stick-table.ts';
import { FORMAT, readState, saveState } from '../../src/state-file.ts';
import { StateKeeper } from '../../src/state.ts';
import { ConfigFile } from '../support/config-file.ts';
import { folderOf } from '../support/files.ts';
import { restore } from '../support/kept.ts';
import { SILENT } from '../support/pool.ts';

const configFile = new ConfigFile();
const folder = folderOf();
const MANY = 200_000;

/** A backend `b` with servers s1 to s4 that checks nothing. */
function backend(more = ''): Backend {
  const servers = [1, 2, 3, 4].map((i) => `      s${i}: 127.0.0.1:${i}\n`).join('');
  const { backends } = configFile.config(
    `frontends: { f: { bind: "*:443", backend: b } }\nbackends:\n  b:\n${more}    servers:\n${servers}`,
  );
  const made = new Backend('b', SILENT);
  made.plan(backends['b'] as BackendConfig).commit();
  made.close();
  return made;
}

type Said = { readonly event: string; readonly [key: string]: unknown };

/** Gives the backends what the file says, as a start does. Resolves to what the log says of it. */
async function restored(file: string, backends: readonly Backend[]): Promise<Said> {
  const said: Said[] = [];
  const log: Teller = {
    tell: (event, ...[fields]) => void said.push({ ...fields, event }),
    connection() {},
    session() {},
  };
  const keeper = new StateKeeper(() => backends, log);
  const configs = Object.fromEntries(backends.map(({ name, config }) => [name, config]));
  (await keeper.plan({ state: { file, interval: 1_000_000 }, backends: configs }, backends)).commit();
  keeper.close();
  assert.equal(said.length, 1);
  return said[0]!;
}

const clientOf = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

function bindMany(full: Backend): void {
  const { table, servers } = full;
  for (let i = 0; i < MANY; i++) {
    table!.open(clientOf(i));
    table!.bind(clientOf(i), servers[(i * 7) % 4]!);
    table!.close(clientOf(i));
  }
}

/** Counts how often the event loop turns while something is done: time would tell how busy the machine is. */
async function turnsDuring<R>(act: () => Promise<R>): Promise<{ turns: number; says: string; result: R }> {
  let [turns, acting] = [0, true];
  const turn = (): void => {
    turns++;
    if (acting) setImmediate(turn);
  };
  setImmediate(turn);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const startedMs = performance.now();
  const result = await act();
  const says =
    `${(performance.now() - startedMs).toFixed()} ms, ${turns} turns; held at most ` +
    `${(delays.max / 1e6).toFixed(1)} ms, p99 ${(delays.percentile(99) / 1e6).toFixed(1)} ms`;
  delays.disable();
  acting = false;
  return { turns, says, result };
}

test(
  '200 000 bindings are saved and restored a few at a time, and come back whole',
  { timeout: 300_000 },
  async (t) => {
    const [before, after] = [backend(), backend()];
    bindMany(before);
    const file = join(folder, 'many');
    const saving = await turnsDuring(() => saveState(file, [before]));
    const restoring = await turnsDuring(() => restored(file, [after]));
    for (const [what, { turns, says }] of Object.entries({ saving, restoring })) {
      t.diagnostic(`${what}: ${says}`);
      assert.ok(turns >= MANY / 1_000, `${what}: the loop turned ${turns} times`);
    }
    const said = restoring.result;
    assert.deepEqual(said, { file, kind: 'restored', bindings: MANY, states: 0, event: 'state_restored' });
    assert.equal(after.table!.entries, MANY);
    for (let i = 0; i < MANY; i += 997) {
      assert.equal(after.table!.peek(clientOf(i))?.server.name, before.servers[(i * 7) % 4]!.name);
    }
    for (const [i, server] of after.servers.entries()) {
      assert.equal(after.table!.entriesOf(server), before.table!.entriesOf(before.servers[i]!));
    }
  },
);

test('what changes while it is saved may be in the file or not, and the file is whole', async () => {
  const [before, after] = [backend(), backend()];
  for (let i = 0; i < 5_000; i++) {
    before.table!.open(clientOf(i));
    before.table!.bind(clientOf(i), before.servers[i % 4]!);
    if (i % 5 > 0) before.table!.close(clientOf(i));
  }
  let saving = true;
  let next = 5_000;
  const churn = (): void => {
    if (!saving) return;
    for (let i = 0; i < 20; i++, next++) {
      // New ones come, old ones come back and leave again, open ones go.
      for (const client of [clientOf(next), clientOf(next % 4_999)]) {
        before.table!.open(client);
        if (!before.table!.match(client)) before.table!.bind(client, before.servers[0]!);
        before.table!.close(client);
      }
    }
    setImmediate(churn);
  };
  setImmediate(churn);
  const file = join(folder, 'changing');
  await saveState(file, [before]);
  saving = false;
  assert.equal((await restored(file, [after]))['kind'], 'restored');
  for (let i = 0; i < 5_000; i++) {
    assert.equal(after.table!.peek(clientOf(i))?.server.name, `s${1 + (i % 4)}`, clientOf(i));
  }
});

test('states, homes and the order of use come back', async () => {
  const failback = '    stickTable: { failback: return, size: 3 }\n';
  const [before, after] = [backend(failback), backend(failback)];
  const [s1, s2] = before.servers;
  for (const client of ['a', 'b', 'c']) {
    before.table!.open(client);
    before.table!.bind(client, s1!);
    if (client === 'b') before.table!.bind(client, s2!);
    before.table!.close(client);
  }
  before.table!.open('a');
  before.table!.close('a');
  before.servers[2]!.setAdmin('maint');
  before.servers[3]!.setAdmin('drain');
  const file = join(folder, 'homes');
  await saveState(file, [before]);
  assert.deepEqual(await restored(file, [after]), {
    file,
    kind: 'restored',
    bindings: 3,
    states: 2,
    event: 'state_restored',
  });
  assert.deepEqual(
    after.servers.map(({ admin }) => admin),
    ['ready', 'ready', 'maint', 'drain'],
  );
  assert.equal([...after.table!.bindings()].find(({ client }) => client === 'b')?.home, after.servers[0]);
  for (const client of ['d', 'e']) {
    after.table!.open(client);
    after.table!.bind(client, after.servers[0]!);
    after.table!.close(client);
  }
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((client) => after.table!.peek(client) !== undefined),
    [true, false, false, true, true],
  );
});

test('what was said of a server comes back with who and when, and gives way to what was said later', async () => {
  const file = join(folder, 'said');
  const [before, after] = [backend(), backend()];
  const said = (word: string, atMs: number): Word => ({ word, who: '10.0.0.9:1', by: 'lb2', atMs });
  const [s1, s2, s3] = before.servers;
  hear(s1!, 'state', said('drain', 5_000));
  hear(s1!, 'weight', said('3/1', 6_000));
  hear(s2!, 'state', said('ready', 5_000));
  hear(s3!, 'state', said('drain', 5_000));
  await saveState(file, [before]);
  hear(after.servers[1]!, 'state', said('maint', 4_999));
  hear(after.servers[2]!, 'state', said('maint', 5_001));
  await restored(file, [after]);
  assert.deepEqual(
    after.servers.map(({ admin, weight }) => [admin, weight]),
    [
      ['drain', 3],
      ['ready', 1],
      ['maint', 1],
      ['ready', 1],
    ],
  );
  assert.deepEqual(after.servers[0]!.said, { state: said('drain', 5_000), weight: said('3/1', 6_000) });
});

test('a file that does not say who, or says it in words that are none, has states all the same', async () => {
  const file = join(folder, 'untold');
  const state = '{"backend":"b","server":"s1","state":"drain","weight":{"own":3,"instead":1}}';
  const strange = '{"backend":"b","server":"s2","state":"maint","said":{"state":"1 tired x y"}}';
  const head = JSON.stringify({ format: FORMAT, savedAt: Date.now() });
  writeFileSync(file, `${head}\n${state}\n${strange}\n{"lines":2}\n`);
  const after = backend();
  hear(after.servers[1]!, 'state', { word: 'ready', who: 'unix', by: undefined, atMs: 1 });
  assert.equal((await restored(file, [after]))['states'], 1);
  assert.deepEqual(
    after.servers.slice(0, 2).map(({ admin, weight }) => [admin, weight]),
    [
      ['drain', 3],
      ['ready', 1],
    ],
  );
});

const HEAD = `{"format":"berth state 1","savedAt":${Date.now()}}`;
const LINE = '{"backend":"b","server":"s1","client":"a","ms":1000}';
const FOREIGN: Record<string, string | Buffer> = {
  'is empty': '',
  'is a head alone': `${HEAD}\n`,
  'is torn between two lines': `${HEAD}\n${LINE}\n`,
  'is torn in its last line': `${HEAD}\n${LINE}\n{"lin`,
  'lacks a line': `${HEAD}\n${LINE}\n{"lines":2}\n`,
  'goes on after its end': `${HEAD}\n${LINE}\n{"lines":1}\n${LINE}\n`,
  'is of another version': `${HEAD.replace('state 1', 'state 2')}\n{"lines":0}\n`,
  'has a line of another kind': `${HEAD}\n{"backend":"b","server":"s1","client":5,"ms":1}\n{"lines":1}\n`,
  'has a state that is none': `${HEAD}\n{"backend":"b","server":"s1","state":"tired"}\n{"lines":1}\n`,
  'is JSON of something else': '{"a":1}\n{"lines":0}\n',
  'is no JSON': 'frontends: {}\n',
  'is no text': Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7) & 255)),
};

test('bindings that are equally old stay equally old, however long the file takes to read', async (t) => {
  const [before, after] = [backend(), backend()];
  for (const client of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) {
    restore(before.table!, { client, server: before.servers[0]!, home: undefined, remainingMs: 60_000 });
  }
  const file = join(folder, 'equally-old');
  await saveState(file, [before]);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replaceAll(/"ms":[\d.]+/g, '"ms":60000'));
  let nowMs = Date.now();
  t.mock.method(Date, 'now', () => (nowMs += 10));
  await restored(file, [after]);
  const readMs = performance.now();
  t.mock.method(performance, 'now', () => readMs);
  const [one, ...others] = Array.from(after.table!.bindings(), ({ remainingMs }) => Math.round(remainingMs));
  assert.deepEqual(others, [one, one]);
});

test('a file that is torn or not ours is set aside as it is', async (t) => {
  for (const [what, content] of Object.entries(FOREIGN)) {
    await t.test(what, async () => {
      const file = join(folder, what.replaceAll(' ', '-'));
      writeFileSync(file, content);
      const after = backend();
      const { event, reason } = await restored(file, [after]);
      assert.equal(event, 'state_set_aside');
      assert.match(String(reason), new RegExp(`; it is kept as ${file}.bad$`));
      assert.deepEqual(readFileSync(`${file}.bad`), Buffer.from(content));
      assert.ok(!readdirSync(folder).includes(what.replaceAll(' ', '-')));
      assert.equal(after.table!.entries, 0, 'nothing of it was taken');
    });
  }
});

test('no file is no state', async () => {
  const file = join(folder, 'none');
  assert.deepEqual(await restored(file, [backend()]), { file, kind: 'none', event: 'state_none' });
});

type Step = { do: 'visit' | 'wait' | 'change' | 'carry'; client: string; ms: number; size: number; expireMs: number };
const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('visit', 'visit', 'visit', 'wait', 'wait', 'change', 'carry'),
  client: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  ms: fc.constantFrom(1, 10, 40, 99),
  size: fc.constantFrom(1, 2, 4, 100),
  expireMs: fc.constantFrom(50, 100, 200),
});

test('whatever is changed or carried over to another table, bindings are what a simple list says', () => {
  type Server = { name: string };
  const servers: Server[] = [{ name: 's0' }, { name: 's1' }];
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = 1;
      let [size, expireMs] = [4, 100];
      let table = new StickTable<Server>({ size, expireMs, now: () => now });
      /** The least recently used first. */
      let model: { client: string; server: Server; since: number }[] = [];
      const trim = (): void => {
        model = model.filter(({ since }) => now - since <= expireMs);
        model = model.slice(Math.max(0, model.length - size));
      };
      for (const [i, { do: what, client, ms, ...options }] of steps.entries()) {
        if (what === 'wait') now += ms;
        // No two at the same time: a file does not say which of equally old bindings was used last.
        if (what === 'visit') now++;
        table.expire();
        trim();
        if (what === 'visit') {
          const server = model.find((one) => one.client === client)?.server ?? servers[i % 2]!;
          table.open(client);
          if (!table.match(client)) table.bind(client, server);
          table.close(client);
          model = [...model.filter((one) => one.client !== client), { client, server, since: now }];
        } else if (what === 'change') {
          ({ size, expireMs } = options);
          table.change({ size, expireMs });
        } else if (what === 'carry') {
          // As over a restart: another table, and a clock that begins elsewhere.
          const kept = [...table.bindings()].map((one) => ({ ...one, remainingMs: Math.round(one.remainingMs) }));
          // One with no time left is not worth carrying.
          model = model.filter(({ since }) => now - since < expireMs);
          for (const one of model) one.since += 1_000;
          now += 1_000;
          table = new StickTable<Server>({ size, expireMs, now: () => now });
          assert.equal(restore(table, ...kept), kept.filter(({ remainingMs }) => remainingMs > 0).length);
        }
        trim();
        const byClient = (a: { client: string }, b: { client: string }): number => (a.client < b.client ? -1 : 1);
        assert.deepEqual(
          [...table.bindings()]
            .toSorted(byClient)
            .map((binding) => ({ ...binding, remainingMs: Math.round(binding.remainingMs) })),
          model.toSorted(byClient).map(({ client: of, server, since }) => ({
            client: of,
            server,
            home: undefined,
            remainingMs: expireMs - (now - since),
          })),
        );
        assert.equal(table.entries, model.length);
        for (const server of servers) {
          assert.equal(table.entriesOf(server), model.filter((one) => one.server === server).length);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a file that the system does not let us read is left where it is', async () => {
  // Opening it goes well, reading it does not.
  const directory = join(folder, 'directory');
  mkdirSync(directory);
  const said = await readState(directory, () => {});
  assert.equal(said.kind, 'unread');
  assert.match(said.kind === 'unread' ? said.reason : '', /EISDIR/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('directory')),
    ['directory'],
  );
});

test('a save that cannot take the place of the file leaves nothing behind', async () => {
  const directory = join(folder, 'in-the-way');
  mkdirSync(directory);
  await assert.rejects(saveState(directory, [backend()]), { code: 'EISDIR' });
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('in-the-way')),
    ['in-the-way'],
  );
});

test('reloads that come sooner than the interval do not keep the state from being saved', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let saved = 0;
  const log: Teller = { tell() {}, connection() {}, session() {} };
  const keeper = new StateKeeper(() => (saved++, []), log);
  const state = { file: join(folder, 'often'), interval: 1_000 };
  for (let reload = 0; reload < 3; reload++) {
    (await keeper.plan({ state, backends: {} }, [])).commit();
    t.mock.timers.tick(600);
  }
  keeper.close();
  await keeper.save();
  assert.equal(saved, 2);
});

test('a file that could not be read is saved to again once a reload has read it', async () => {
  const log: Teller = { tell() {}, connection() {}, session() {} };
  const keeper = new StateKeeper(() => [], log);
  const state = { file: join(folder, 'loop'), interval: 1_000_000 };
  symlinkSync(state.file, state.file);
  (await keeper.plan({ state, backends: {} }, [])).commit();
  await keeper.save();
  assert.ok(lstatSync(state.file).isSymbolicLink());
  rmSync(state.file);
  for (const each of [{ ...state, file: '' }, state]) (await keeper.plan({ state: each, backends: {} }, [])).commit();
  await keeper.save();
  keeper.close();
  assert.equal((await readState(state.file, () => {})).kind, 'read');
});
