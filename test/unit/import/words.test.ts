import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lex } from '../../../src/import/words.ts';

const wordsOf = (text: string, environment = {}): string[][] =>
  lex(text, environment).lines.map(({ words }) => [...words]);

test('words end at spaces, and a line ends at a #', () => {
  assert.deepEqual(wordsOf('bind  *:443\tssl # a comment\n# another\n\n  mode tcp#more'), [
    ['bind', '*:443', 'ssl'],
    ['mode', 'tcp'],
  ]);
});

test('quotes and backslashes keep spaces, # and quotes in a word', () => {
  assert.deepEqual(wordsOf(String.raw`a "b c" 'd # e' f\ g \# \\ "h'i" 'j"k' l"m n"o "\"" ''`), [
    ['a', 'b c', 'd # e', 'f g', '#', '\\', "h'i", 'j"k', 'lm no', '"', ''],
  ]);
});

test('escapes for control characters and bytes are read, and others are not', () => {
  assert.deepEqual(wordsOf(String.raw`HTTP/1.1\r\nHost:\ a \x41\x4 '\n' \q`), [
    ['HTTP/1.1\r\nHost: a', 'A\\x4', '\\n', '\\q'],
  ]);
});

test('variables are read between double quotes alone', () => {
  assert.deepEqual(wordsOf(`"\${A}:1" "$A" $A '\${A}' "\${B-c d}" "\\\${A}" "a$"`, { A: 'x' }), [
    ['x:1', 'x', '$A', '${A}', 'c d', '${A}', 'a$'],
  ]);
});

test('a variable as a list is a word for each of its own', () => {
  const environment = { NETS: ' 10.0.0.0/8  192.0.2.1 ', NONE: '' };
  assert.deepEqual(wordsOf('acl a src "${NETS[*]}" "x${NETS[*]}y" "${NONE[*]}"', environment), [
    ['acl', 'a', 'src', '10.0.0.0/8', '192.0.2.1', 'x10.0.0.0/8', '192.0.2.1y', ''],
  ]);
});

test('a variable without a value is empty, and told', () => {
  const { lines, unset } = lex('a\nb "${NO}:5000"\n', {});
  assert.deepEqual(lines[1]?.words, ['b', ':5000']);
  assert.deepEqual(unset, [{ line: 2, name: 'NO' }]);
});

test('setenv holds from its line on, presetenv where there is no value, unsetenv takes the value away', () => {
  const text = 'setenv A 1\npresetenv A 2\npresetenv B 3\nx "$A$B"\nunsetenv A\ny "${A-gone}"\n';
  assert.deepEqual(
    wordsOf(text, { A: '0' }).filter(([word]) => word === 'x' || word === 'y'),
    [
      ['x', '13'],
      ['y', 'gone'],
    ],
  );
});

test('the environment of the process stays as it is', () => {
  const environment = { A: '0' };
  lex('setenv A 1\n', environment);
  assert.deepEqual(environment, { A: '0' });
});

test('a line that ends with a backslash goes on, and counts by its first line', () => {
  assert.deepEqual(lex('server s1 \\\n  10.0.0.1:80\nmode tcp\n', {}).lines, [
    { number: 1, words: ['server', 's1', '10.0.0.1:80'] },
    { number: 3, words: ['mode', 'tcp'] },
  ]);
  assert.deepEqual(wordsOf('a \\\\\nb'), [['a', '\\'], ['b']]);
});

test('what HAProxy does not read is a fault with its line', () => {
  const { faults } = lex(`a "b\nc 'd\ne "\${"\n${'x'.repeat(20_000)}\n#${'x'.repeat(20_000)}\n`, {});
  assert.deepEqual(
    faults.map(({ line, message }) => `${line}: ${message}`),
    [
      '1: the quote " is not closed',
      "2: the quote ' is not closed",
      '3: a variable is written as ${NAME}, or with a default as ${NAME-DEFAULT}',
      '4: the line is longer than 16384 characters',
    ],
  );
});

test('a file that no HAProxy takes is not read to its end', () => {
  const grows = `setenv A "${'x'.repeat(9_000)}"\nsetenv B "\${A}\${A}"\n`;
  const faultsOf = (text: string) => lex(text, {}).faults.map(({ line, message }) => `${line}: ${message}`);
  assert.deepEqual(faultsOf(grows), ['2: with its variables the line is longer than 16384 characters']);
  assert.deepEqual(faultsOf(`${'x '.repeat(64)}\n${'x '.repeat(65)}\n`), ['2: the line has more than 64 words']);
  assert.equal(faultsOf('"\n'.repeat(5_000)).length, 100);
  assert.deepEqual(faultsOf('\n'.repeat(20_000) + 'x\n'.repeat(10_000)), []);
  assert.deepEqual(faultsOf('x\n'.repeat(20_000)), ['10001: there are more than 10000 lines']);
});

test('a comment of several lines has no end that it does not say', () => {
  assert.deepEqual(wordsOf('# a \\\nb\n \\\n # c \\\nd\n'), [['b'], ['d']]);
});
