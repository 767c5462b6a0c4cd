import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { cut, line, paperOf, Table, width, type Column } from '../../../src/cli/print.ts';
import { keysOf } from '../../../src/cli/screen.ts';
import { byteRate, bytes, count, duration, since } from '../../../src/cli/units.ts';

const PIPE = { columns: Infinity, colour: false };
type Server = { readonly name: string; readonly connections: number; readonly reason: string };
const COLUMNS: readonly Column<Server>[] = [
  { title: 'SERVER', cell: ({ name }) => name, least: 4 },
  { title: 'CONNS', cell: ({ connections }) => String(connections), align: 'right' },
  { title: 'EXTRA', cell: () => 'extra words', rank: 2 },
  { title: 'REASON', cell: ({ reason }) => ({ text: reason, style: 'red' }), least: 6, rank: 1 },
];
const ROWS: readonly Server[] = [
  { name: 's1', connections: 7, reason: '' },
  { name: 'registry-2', connections: 1200, reason: 'connection refused' },
];

test('columns line up, numbers to the right, and no line ends in spaces', () => {
  assert.deepEqual(new Table(COLUMNS, PIPE).lines(ROWS), [
    'SERVER      CONNS  EXTRA        REASON',
    's1              7  extra words',
    'registry-2   1200  extra words  connection refused',
  ]);
});

test('on a narrow terminal columns are cut first, then the least wanted are left out', () => {
  const lines = (columns: number): string[] => new Table(COLUMNS, { columns, colour: false }).lines(ROWS);
  assert.equal(lines(44)[2], 'registry-2   1200  extra words  connection …');
  assert.equal(lines(38)[2], 'registry-2   1200  extra words  conne…');
  assert.equal(lines(36)[2], 'registr…   1200  extra words  conne…');
  assert.equal(lines(28)[2], 'registry-2   1200  connecti…');
  assert.equal(lines(16)[2], 'registry…   1200');
  for (let columns = 12; columns < 60; columns++) {
    for (const one of lines(columns)) assert.ok(width(one) <= columns, `${columns}: ${one}`);
  }
});

test('a table that gets its rows in portions has its titles once, and widens', () => {
  const table = new Table(COLUMNS, PIPE);
  assert.equal(table.lines(ROWS.slice(0, 1)).length, 2);
  assert.deepEqual(table.lines(ROWS.slice(1)), ['registry-2   1200  extra words  connection refused']);
  assert.deepEqual(table.lines(ROWS.slice(0, 1)), ['s1              7  extra words']);
});

test('colours do not count as width, and are there only on paper that has them', () => {
  const [, , plain] = new Table(COLUMNS, PIPE).lines(ROWS);
  const [, , coloured] = new Table(COLUMNS, { ...PIPE, colour: true }).lines(ROWS);
  assert.equal(coloured!.replaceAll(/\p{Cc}\[\d+m/gu, ''), plain);
  assert.match(coloured!, /\p{Cc}\[31mconnection refused\p{Cc}\[0m$/u);
});

test('wide characters take two columns, combining marks none', () => {
  assert.deepEqual(['registry', '登録', 'e\u0301', '👍', ''].map(width), [8, 4, 1, 2, 0]);
  assert.equal(cut('登録所', 5), '登録…');
  assert.equal(cut('登録所', 4), '登…');
  assert.equal(cut('abc', 3), 'abc');
});

test('whatever is in a cell or a line, no control character comes out, and no line is too wide', () => {
  const anything = fc
    .array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 60 })
    .map((points) => String.fromCodePoint(...points));
  fc.assert(
    fc.property(anything, anything, fc.integer({ min: 20, max: 120 }), (name, reason, columns) => {
      const paper = { columns, colour: false };
      const made = [
        ...new Table(COLUMNS, paper).lines([{ name, connections: 1, reason }]),
        line([name, reason], paper),
      ];
      for (const one of made) {
        assert.doesNotMatch(one, /[\p{Cc}\p{Zl}\p{Zp}]/u);
        assert.ok(width(one) <= columns);
      }
    }),
  );
});

test('colours: on a terminal, but not with NO_COLOR or TERM=dumb; FORCE_COLOR decides alone', () => {
  const on = (isTTY: boolean, env: NodeJS.ProcessEnv): boolean => paperOf({ isTTY, columns: 80 }, env).colour;
  assert.equal(on(true, { TERM: 'xterm' }), true);
  assert.equal(on(true, { NO_COLOR: '' }), true);
  assert.equal(on(true, { NO_COLOR: '1' }), false);
  assert.equal(on(true, { TERM: 'dumb' }), false);
  assert.equal(on(false, {}), false);
  assert.equal(on(false, { FORCE_COLOR: '1', NO_COLOR: '1' }), true);
  assert.equal(on(true, { FORCE_COLOR: '0' }), false);
  assert.equal(paperOf({}, {}).columns, Infinity);
});

test('bytes, counts and durations are short, and what is not known is a dash', () => {
  const sizes = [0, 999, 1_000, 12_345, 99_949, 99_950, 999_949, 999_950, 1.5e9, 2e21];
  const said = ['0B', '999B', '1.0kB', '12.3kB', '99.9kB', '100kB', '1.0MB', '1.0MB', '1.5GB', '2000EB'];
  assert.deepEqual(sizes.map(bytes).slice(0, 6), said.slice(0, 6));
  assert.deepEqual(sizes.map(bytes).slice(7), said.slice(7));
  assert.equal(byteRate(1_200_000), '1.2MB/s');
  assert.deepEqual([0, 0.04, 0.25, 7, 1234.5].map(count), ['0', '0', '0.3', '7', '1235']);
  const times = [0, 0.42, 12, 999, 1_000, 4_200, 45_000, 187_000, 7_500_000, 1_047_600_000];
  const spans = ['0ms', '0.4ms', '12ms', '999ms', '1.0s', '4.2s', '45s', '3m07s', '2h05m', '12d03h'];
  assert.deepEqual(times.map(duration), spans);
  for (const unit of [bytes, byteRate, count, duration]) {
    for (const unknown of [null, undefined, '7', Number.NaN]) assert.equal(unit(unknown), '-');
  }
  assert.equal(since('2026-01-01T00:00:00Z', '2026-01-01T00:01:30Z'), '1m30s');
  assert.equal(since(null, '2026-01-01T00:01:30Z'), '-');
});

test('keys: letters, control keys and arrows; other sequences of a terminal mean nothing', () => {
  assert.deepEqual(keysOf('qj\x03\x1b[A\x1bOB\x1b[1;5C\x1b[200~x\x1b[?62;c'), [
    'q',
    'j',
    'ctrl-c',
    'up',
    'down',
    'right',
    'x',
  ]);
  fc.assert(fc.property(fc.string(), (typed) => void keysOf(typed)));
});
