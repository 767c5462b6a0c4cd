/** What was perhaps meant. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from '../../../src/config/suggest.ts';

test('the nearest candidate is within a third of the letters, and at least within one', () => {
  const table: [string, string[], string | undefined][] = [
    ['bind', ['bind', 'bend'], 'bind'],
    ['BIND', ['bind'], 'bind'],
    ['bnd', ['bind'], 'bind'],
    ['bindd', ['bind'], 'bind'],
    ['bond', ['bind', 'band'], 'bind'],
    ['ab', ['b'], 'b'],
    ['ab', ['c'], undefined],
    ['', ['a'], 'a'],
    ['', ['ab'], undefined],
    ['abcdef', ['abcdxy'], 'abcdxy'],
    ['abcdef', ['abcxyz'], undefined],
    ['leastcom', ['leastconn', 'random'], 'leastconn'],
    ['a', [], undefined],
  ];
  for (const [written, candidates, expected] of table) assert.equal(nearest(written, candidates), expected, written);
});

test('an exchange of two neighbours is one slip, wherever it is, and an exchange of others is not', () => {
  const table: [string, string, boolean][] = [
    ['bnid', 'bind', true],
    ['ibnd', 'bind', true],
    ['bidn', 'bind', true],
    ['ba', 'ab', true],
    ['nibd', 'bind', false],
    ['bdni', 'bind', false],
    ['xa', 'ay', false],
    ['ax', 'ya', false],
    ['acb', 'bca', false],
    ['aabb', 'bbaa', false],
    ['abcdefbnid', 'abcdefbind', true],
    ['wxyzba', 'cdefab', false],
  ];
  for (const [written, candidate, isNear] of table)
    assert.equal(nearest(written, [candidate]) === candidate, isNear, `${written} for ${candidate}`);
  assert.equal(nearest('abdcfe', ['abcdef']), 'abcdef', 'two exchanges in six letters');
  assert.equal(nearest('abdcf', ['abcdxy']), undefined);
});

test('the hint is a sentence with its space, or nothing; of a long text the beginning counts', () => {
  assert.equal(didYouMean('bnd', ['bind']), ' Did you mean "bind"?');
  assert.equal(didYouMean('xyzzy', ['bind']), '');
  assert.equal(didYouMean('x'.repeat(100), ['x'.repeat(64)]), ` Did you mean "${'x'.repeat(64)}"?`);
});
