import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changelogOf, isNewer } from '../../deploy/packaging/changelog.ts';

const HEAD = '# Changelog\n\nThe form.\n\n## [Unreleased]\n';
const LAST = '## [0.1.0] - 2026-11-26\n\n- The first.\n';
const on = new Date('2027-01-02T23:59:59Z');

test('what is not released yet becomes a version, and [Unreleased] stays, empty', () => {
  const changelog = changelogOf(`${HEAD}\n### Added\n\n- One.\n\n${LAST}`);
  assert.equal(changelog.unreleased, '### Added\n\n- One.');
  const released = changelog.released('0.2.0', on);
  assert.equal(released, `${HEAD}\n## [0.2.0] - 2027-01-02\n\n### Added\n\n- One.\n\n${LAST}`);
  assert.equal(changelogOf(released).unreleased, '');
});

test('the first release of all has nothing below it', () => {
  assert.equal(changelogOf(`${HEAD}\n- One.\n`).released('0.1.0', on), `${HEAD}\n## [0.1.0] - 2027-01-02\n\n- One.\n`);
});

test('without the section there is nothing to release', () => {
  assert.equal(changelogOf('# Changelog\n').unreleased, '');
});

test('versions are compared as numbers, part by part', () => {
  const newer = [
    ['0.10.0', '0.9.9'],
    ['1.0.0', '0.9.9'],
    ['0.1.1', '0.1.0'],
  ] as const;
  for (const [a, b] of newer) assert.deepEqual([isNewer(a, b), isNewer(b, a)], [true, false]);
  assert.equal(isNewer('0.1.0', '0.1.0'), false);
});
