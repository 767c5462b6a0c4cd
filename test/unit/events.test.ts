import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { FIELDS } from '../../src/event-fields.ts';
import { EVENTS } from '../../src/events.ts';
import { Log, type Told } from '../../src/log.ts';
import type { Sink } from '../../src/outlet.ts';
import { readLine } from '../support/log-lines.ts';
import { logConfig, NOBODY, writtenLog } from '../support/written-log.ts';
import { eventually } from '../support/waiting.ts';

const record = {
  frontend: 'f',
  backend: 'b',
  server: 's1',
  client: '10.0.0.7:40410',
  sni: undefined,
  from: '10.0.0.5:50310',
  via: 'stuck',
  retries: 0,
  in: 804,
  out: 1_297,
  connectMs: 0.186,
  queueMs: 0,
  durationMs: 7.87,
  end: '--',
} as const;

const session = {
  client: '10.0.0.7',
  backend: 'b',
  server: 's1',
  direction: 'push',
  moves: 0,
  in: 804,
  out: 1_297,
  connections: 27,
  durationMs: 12_000,
  since: '2026-11-27T08:05:21.930Z',
} as const;

test('a line is JSON: level, time and event, then the fields, then what people read', async () => {
  const { log, lines } = writtenLog();
  log.tell('server_down', { backend: 'b', server: 's1', address: 'node1:5000', reason: 'connection refused' });
  log.connection(record, true);
  const written = (await lines()).map(readLine);
  assert.deepEqual(
    written.map((line) => Object.keys(line).join(' ')),
    [
      'level time event backend server address reason msg',
      'level time event frontend backend server client from via retries in out connectMs queueMs durationMs end msg',
    ],
  );
  assert.equal(written[0]?.msg, 'server down');
});

test('a connection has the line that pino writes, whatever its names are', async () => {
  const anything = fc.string({ unit: 'binary' });
  const optional = fc.option(anything, { nil: undefined });
  const numbers = fc.double({ noNaN: true, noDefaultInfinity: true });
  const any = fc.record({ frontend: anything, backend: optional, sni: optional, connectMs: numbers, out: fc.nat() });
  await fc.assert(
    fc.asyncProperty(any, async (given) => {
      const { log, lines } = writtenLog();
      log.connection({ ...record, ...given }, true);
      const [line = ''] = await lines();
      let expected = '';
      const { time } = JSON.parse(line) as { time: string };
      const options = { base: null, timestamp: () => `,"time":"${time}"` };
      const formatters = { level: (level: string) => ({ level }) };
      pino({ ...options, formatters }, { write: (text: string) => void (expected = text) })
        .child({ event: 'connection' })
        .info({ ...record, ...given }, 'connection');
      assert.equal(`${line}\n`, expected);
    }),
  );
});

test('the words of a line name the fields that they speak of', async () => {
  const { log, lines } = writtenLog();
  log.tell('signal_ignored', { signal: 'SIGUSR1' });
  log.tell('admin_missing', { code: 'EADDRINUSE', reason: 'costs $& and {code}' });
  assert.deepEqual(
    (await lines()).map((line) => readLine(line).msg),
    [
      'SIGUSR1 does nothing; SIGHUP and SIGUSR2 reload, SIGTERM, SIGINT and SIGQUIT stop',
      'no admin address: costs $& and {code}. Set admin.bind to have one',
    ],
  );
});

test('the level keeps lines out of the log, from one line to the next', async () => {
  const { log, lines } = writtenLog({ level: 'warn' });
  log.tell('stopped');
  log.connection(record, true);
  log.level = 'info';
  log.connection(record, false);
  log.connection(record, true);
  log.tell('server_came', { backend: 'b', server: 's1' });
  log.level = 'silent';
  log.tell('start_failed', { code: 'EACCES', reason: 'permission denied' });
  assert.deepEqual(
    (await lines()).map((line) => readLine(line)['event']),
    ['log_level', 'connection', 'log_level'],
  );
});

test('a level that an operator has set stays over reloads, until one changes the level of the file', async () => {
  const { log, lines } = writtenLog();
  log.level = 'error';
  log.follow(logConfig({ connections: false }));
  assert.equal(log.level, 'error');
  log.follow(logConfig({ level: 'debug' }));
  assert.equal(log.level, 'debug');
  log.follow(logConfig({ level: 'debug' }));
  log.tell('server_came', { backend: 'b', server: 's1' });
  assert.deepEqual(
    (await lines()).map(readLine).map(({ event, least, before }) => [event, least, before]),
    [
      ['log_level', 'error', 'info'],
      ['log_level', 'debug', 'error'],
      ['server_came', undefined, undefined],
    ],
  );
});

test('readers hear every event whatever the level, and connections only where they ask for them', () => {
  const { log } = writtenLog({ level: 'silent' });
  const [all, some]: [Told[], Told[]] = [[], []];
  const ends = [log.subscribe((told) => all.push(told), true), log.subscribe((told) => some.push(told))];
  log.tell('stopped');
  log.connection(record, false);
  log.tell('server_came', { backend: 'b', server: 's1' });
  assert.deepEqual(
    all.map(({ event }) => event),
    ['stopped', 'connection', 'server_came'],
  );
  assert.deepEqual(
    some.map(({ event }) => event),
    ['stopped', 'server_came'],
  );
  for (const { line, event } of all) assert.equal(readLine(line)['event'], event);
  ends.forEach((end) => end());
  log.tell('stopped');
  log.connection(record, false);
  assert.deepEqual([all.length, some.length], [3, 2]);
});

test('a reader that comes later has the last 500 events, by numbers that grow', () => {
  const { log } = writtenLog();
  for (let i = 0; i < 510; i++) log.tell('signal_ignored', { signal: String(i) });
  log.connection(record, true);
  const kept = log.recent(1_000);
  assert.equal(kept.length, 500);
  assert.equal(readLine(kept.at(-1)!.line)['signal'], '509');
  assert.deepEqual(
    kept.map(({ id }) => id),
    kept.map((_, i) => kept[0]!.id + i),
  );
  assert.deepEqual(log.recent(2), kept.slice(-2));
  assert.deepEqual(log.recent(0), []);
});

test('what is kept has a bound in bytes, and sessions do not drive out what has happened to servers', () => {
  const { log } = writtenLog();
  const problems = Array.from({ length: 1_000 }, (_, i) => `balancer.yml:${i}:1: what is wrong`);
  for (let i = 0; i < 100; i++) log.tell('reload_failed', { problems });
  const bytes = log.recent(1_000).reduce((sum, { line }) => sum + line.length, 0);
  assert.ok(bytes > 900_000 && bytes <= 1 << 20, `${bytes} bytes`);
  for (let i = 0; i < 250; i++) log.tell('signal_ignored', { signal: String(i) });
  for (let i = 0; i < 1_000; i++) log.session({ ...session, connections: i }, false);
  const kept = log.recent(1_000);
  const of = (event: string): Told[] => kept.filter((told) => told.event === event);
  assert.deepEqual([of('session').length, of('signal_ignored').length], [250, 250]);
  assert.equal(readLine(of('session').at(-1)!.line)['connections'], 999);
});

test('a session is written in the form of every other line', async () => {
  const { log, lines } = writtenLog({}, { ...NOBODY, journal: true });
  log.session(session, true);
  assert.match((await lines()).join('\n'), /^<6>\{"level":"info",.*"event":"session",.*\}$/);
});

test('readers hear of lines that were dropped, and the log has the line when there is room again', async () => {
  const told: string[] = [];
  let taken = '';
  const dones: (() => void)[] = [];
  const sink: Sink = (text, done) => {
    taken += text;
    dones.push(done);
  };
  const log = new Log(logConfig(), sink, NOBODY);
  log.subscribe(({ event }) => told.push(event));
  const reason = 'x'.repeat(1 << 20);
  for (let i = 0; i < 20; i++) log.tell('admin_missing', { code: 'EADDRINUSE', reason });
  for (let batch = 0; batch < 2; batch++) (await eventually('a batch', () => dones.shift()))();
  assert.equal(told.at(-1), 'lines_dropped');
  const last = taken.split('\n').slice(0, -1).map(readLine).at(-1);
  assert.deepEqual([last?.['event'], last?.['count']], ['lines_dropped', log.outlet.dropped]);
});

test('names of events are in snake case, their words and descriptions are whole', () => {
  for (const [name, { msg, description, fields }] of Object.entries(EVENTS)) {
    assert.match(name, /^[a-z]+(_[a-z]+)*$/);
    assert.match(description, /\.$/, name);
    for (const [, field = ''] of msg.matchAll(/\{(\w+)\}/g)) assert.ok((fields as readonly string[]).includes(field));
    assert.equal(new Set(fields).size, fields.length, name);
  }
});

test('each field of the glossary is in an event, and the names of pino are in none', () => {
  const used = new Set(Object.values(EVENTS).flatMap(({ fields }) => fields.map((field) => field.replace('?', ''))));
  assert.deepEqual([...used].toSorted(), Object.keys(FIELDS).toSorted());
  for (const own of ['level', 'time', 'event', 'msg']) assert.ok(!used.has(own), own);
});

test('nothing is logged beside the table: pino and standard output are in the hands of the log alone', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const using = (what: RegExp): string[] =>
    files.filter((file) => what.test(readFileSync(join('src', file), 'utf8'))).toSorted();
  assert.deepEqual(using(/from 'pino'/), ['log.ts']);
  assert.deepEqual(using(/standardOutput\(/), ['log.ts', 'standard-output.ts']);
  // Commands answer on standard output; a balancer that runs has only its log.
  const answers = using(/process\.stdout|console\./).filter((file) => !file.startsWith('cli/'));
  assert.deepEqual(answers, ['doctor/doctor.ts', 'standard-output.ts']);
});
