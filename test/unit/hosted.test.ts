import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostedAt } from '../../deploy/packaging/hosted.ts';

for (const remote of [
  'git@git.example.org:registry/berth.git',
  'ssh://git@git.example.org/registry/berth.git',
  'ssh://git@git.example.org:2222/registry/berth.git',
  'https://git.example.org/registry/berth.git',
  'https://git.example.org/registry/berth',
  'https://somebody@git.example.org/registry/berth/',
]) {
  test(`the pages of ${remote}`, () => {
    assert.deepEqual(hostedAt(remote), {
      repository: { type: 'git', url: 'git+https://git.example.org/registry/berth.git' },
      bugs: { url: 'https://git.example.org/registry/berth/issues' },
      homepage: 'https://git.example.org/registry/berth#readme',
    });
  });
}

for (const remote of [
  '',
  '/srv/git/berth.git',
  '../berth',
  'file:///srv/git/berth.git',
  'https://localhost/berth.git',
]) {
  test(`no package comes from '${remote}'`, () => assert.equal(hostedAt(remote), undefined));
}

test('a password in an address is not shown to others', () => {
  assert.equal(hostedAt('https://somebody:secret@git.example.org/registry/berth.git'), undefined);
});
