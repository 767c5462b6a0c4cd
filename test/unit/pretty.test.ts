import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import * as fc from 'fast-check';
import { LEVELS, type Level } from '../../src/events.ts';
import { formOf, readershipOf } from '../../src/line-form.ts';
import { pretty } from '../../src/pretty.ts';
import { folderOf } from '../support/files.ts';
import { NOBODY, writtenLog } from '../support/written-log.ts';

const time = '2026-11-27T08:05:21.930Z';
const CLOCK = String.raw`\d\d:\d\d:\d\d\.\d{3}`;
const down = { level: 'warn', time, event: 'server_down', backend: 'b', server: 's1', msg: 'server down' };

test('a line for people has the time of day, the level, the words, and the fields by name', () => {
  const line = pretty(JSON.stringify({ ...down, reason: 'connection refused', downMs: 2572, of: ['a b', 'c'] }), false);
  const fields = String.raw`backend=b server=s1 reason="connection refused" downMs=2572 of=\["a b","c"\]`;
  assert.match(line, new RegExp(`^${CLOCK} WARN  server down      ${fields}$`));
  assert.match(
    pretty(JSON.stringify({ level: 'info', time, event: 'stopped', msg: 'stopped' }), false),
    /INFO  stopped$/,
  );
});

test('an empty value, and a value with a quotation mark or an equals sign in it, is seen to its end', () => {
  const values = { a: '', b: 'say "no"', c: 'x=1', d: '10.0.0.7:40410', e: '[::1]:5000', f: null };
  assert.match(
    pretty(JSON.stringify({ ...down, ...values }), false),
    /a="" b="say \\"no\\"" c="x=1" d=10\.0\.0\.7:40410 e=\[::1\]:5000 f=null$/,
  );
});

test('colours stand around level, time and names, and the text is the same without them', () => {
  for (const level of Object.keys(LEVELS)) {
    const line = JSON.stringify({ ...down, level });
    const coloured = pretty(line, true);
    assert.equal(stripVTControlCharacters(coloured), pretty(line, false));
    assert.notEqual(coloured, pretty(line, false));
  }
});

/** Nothing but printable characters, on one line; no text is turned around. */
const OBEYED = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

test('whatever a stranger has written, a terminal has nothing to obey and a reader has one line', () => {
  const wild = fc.string({ unit: 'binary', maxLength: 60 });
  const nasty = fc.array(
    fc.constantFrom('\u001b[2J', '\n', '\r', '\u0000', '\u009b', '\u2028', '\u202e', 'a', '"', '\\'),
  );
  const text = fc.oneof(
    wild,
    nasty.map((parts) => parts.join('')),
  );
  const whole = (line: string): void => assert.doesNotMatch(line, OBEYED);
  fc.assert(
    fc.property(text, text, text, (name, value, msg) => {
      whole(pretty(JSON.stringify({ ...down, [name]: value, list: [value], map: { [name]: value }, msg }), false));
      whole(pretty(JSON.stringify({ ...down, level: value, time: msg }), false));
      whole(pretty(value, false));
    }),
  );
});

test('auto is for people at a terminal, and JSON elsewhere; json and pretty are what they say', () => {
  const line = `${JSON.stringify(down)}\n`;
  const shown = (format: 'auto' | 'json' | 'pretty', terminal: boolean): string =>
    formOf(format, { ...NOBODY, terminal })?.(line, 'warn') ?? line;
  for (const [format, terminal] of [
    ['auto', false],
    ['json', true],
    ['json', false],
  ] as const)
    assert.equal(shown(format, terminal), line);
  for (const [format, terminal] of [
    ['auto', true],
    ['pretty', true],
    ['pretty', false],
  ] as const)
    assert.equal(shown(format, terminal), `${pretty(line.trimEnd(), false)}\n`);
});

test('journald is told the priority of each level before the line, which stays as it is', () => {
  const prefixed = formOf('auto', { ...NOBODY, journal: true });
  const priorities = Object.keys(LEVELS).map((level) => prefixed?.('{"a":1}\n', level as Level));
  assert.deepEqual(
    priorities,
    [7, 7, 6, 4, 3, 2].map((priority) => `<${priority}>{"a":1}\n`),
  );
});

test('every line has its priority, those about connections and about dropped lines too', async () => {
  const { log, lines } = writtenLog({ level: 'debug' }, { ...NOBODY, journal: true });
  log.tell('server_came', { backend: 'b', server: 's1' });
  log.tell('stopped');
  log.tell('start_failed', { code: 'EACCES', reason: 'two\nlines' });
  const rest = { retries: 0, in: 0, out: 0, queueMs: 0, durationMs: 0, end: '--' };
  log.connection({ frontend: 'f', client: 'unix', ...rest }, true);
  const written = await lines();
  assert.deepEqual(
    written.map((line) => line.slice(0, 4)),
    ['<7>{', '<6>{', '<2>{', '<6>{'],
  );
});

test('JOURNAL_STREAM counts only where it names the very file that lines go to', (t) => {
  const path = join(folderOf(t), 'stream');
  const fd = openSync(path, 'w');
  t.after(() => closeSync(fd));
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const journal = (stream: string | undefined): boolean => readershipOf(fd, { JOURNAL_STREAM: stream }).journal;
  assert.equal(journal(`${dev}:${ino}`), true);
  for (const other of [`${dev}:${ino + 1n}`, `${dev + 1n}:${ino}`, `${ino}:${dev}`, `${dev}:`, '', '1', undefined])
    assert.equal(journal(other), false, String(other));
});
