/** `npm run release`, in a repository of its own. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { before, test } from 'node:test';
import { cloneInto, commitAll, runIn } from '../support/clone.ts';
import { folderOf } from '../support/files.ts';

const RELEASE = resolve('.build/deploy/packaging/release.js');
const repository = folderOf();
const file = (name: string): string => join(repository, name);

/** What takes long and has tests of its own is one word there. */
const QUICK = { test: 'echo tested', check: 'echo checked', 'package:deb': 'true' };

before(() =>
  cloneInto(repository, () => {
    const manifest = JSON.parse(readFileSync(file('package.json'), 'utf8')) as { scripts: Record<string, string> };
    writeFileSync(file('package.json'), JSON.stringify({ ...manifest, scripts: { ...manifest.scripts, ...QUICK } }));
    const changelog = readFileSync(file('CHANGELOG.md'), 'utf8');
    const noted = changelog.replace('## [Unreleased]\n', '## [Unreleased]\n\n### Added\n\n- A thing of its own.\n');
    writeFileSync(file('CHANGELOG.md'), noted);
  }),
);

/** Where others find the repository; nothing is sent there. */
const ORIGIN = 'git@git.example.org:registry/berth.git';

function release(...args: string[]): string {
  return runIn(repository, process.execPath, RELEASE, ...args);
}

/** What it says where it does nothing. */
function refusal(...args: string[]): string {
  try {
    return `it did not refuse: ${release(...args)}`;
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
}

const state = (): string[] =>
  ['rev-parse HEAD', 'tag --list', 'status --porcelain'].map((args) => runIn(repository, 'git', ...args.split(' ')));

test('everything that is in the way of a release is said at once, and nothing is done', () => {
  const was = state();
  assert.match(refusal(), /^release: which version\? npm run release -- 1\.2\.3/);
  assert.match(refusal('0.0.9'), /^release: 0\.0\.9 is not newer than 0\.\d+\.\d+, which package\.json has\n$/);
  assert.match(refusal('99.0.0', '--really', '--untested'), /^release: --untested is for trying/);
  assert.match(refusal('99.0.0', '--really'), /^release: where is the repository\? .* git remote add origin https:/);
  runIn(repository, 'git', 'remote', 'add', 'origin', ORIGIN);
  assert.deepEqual(state(), was);
  runIn(repository, 'git', 'switch', '--quiet', '--create', 'other');
  writeFileSync(file('stray'), '');
  runIn(repository, 'git', 'tag', 'v99.0.0');
  assert.deepEqual(refusal('99.0.0').split('\n'), [
    'release: a release is made of main; this is other',
    'release: there are changes that are not committed (git status)',
    'release: there is a tag v99.0.0',
    '',
  ]);
  runIn(repository, 'git', 'tag', '--delete', 'v99.0.0');
  runIn(repository, 'git', 'clean', '--quiet', '--force');
  runIn(repository, 'git', 'switch', '--quiet', 'main');
});

test('a check that fails leaves everything as it is', { timeout: 300_000 }, () => {
  const text = readFileSync(file('package.json'), 'utf8');
  writeFileSync(file('package.json'), text.replace('echo checked', 'exit 3'));
  commitAll(repository, 'a check that fails');
  const was = state();
  refusal('99.0.0', '--really');
  assert.deepEqual(state(), was);
  runIn(repository, 'git', 'reset', '--quiet', '--hard', 'HEAD~1');
});

test('a release is checked and tested, and leaves a commit, a tag and the artefacts', { timeout: 600_000 }, () => {
  const said = release('99.0.0', '--really');
  assert.match(said, /^checked$[^]*^tested$/m);
  assert.equal(runIn(repository, 'git', 'log', '-1', '--format=%s %D'), 'Berth 99.0.0 HEAD -> main, tag: v99.0.0\n');
  assert.equal(runIn(repository, 'git', 'status', '--porcelain'), '');
  const manifest = JSON.parse(readFileSync(file('package.json'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(manifest['repository'], { type: 'git', url: 'git+https://git.example.org/registry/berth.git' });
  assert.deepEqual(manifest['bugs'], { url: 'https://git.example.org/registry/berth/issues' });
  assert.equal(manifest['homepage'], 'https://git.example.org/registry/berth#readme');
  assert.match(
    runIn(repository, 'git', 'tag', '--list', '--format=%(contents)', 'v99.0.0'),
    /^Berth 99\.0\.0\n\n### Added\n\n- A thing of its own\.\n/,
  );
  const changelog = readFileSync(file('CHANGELOG.md'), 'utf8');
  assert.match(
    changelog,
    /\n## \[Unreleased\]\n\n## \[99\.0\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing of its own\.\n/,
  );
  assert.match(readFileSync(file('deploy/kubernetes/berth.yml'), 'utf8'), /image: \S+\/berth:99\.0\.0 /);
  const artefacts = file('.build/package');
  runIn(artefacts, 'sha256sum', '--check', 'SHA256SUMS');
  for (const part of ['-linux-x64', '-linux-arm64', '.tgz', '.cdx.json', '-licenses.txt']) {
    assert.ok(existsSync(join(artefacts, `berth-99.0.0${part}`)), part);
  }
  assert.equal(runIn(repository, join(artefacts, 'berth-99.0.0-linux-x64'), '--version'), 'berth 99.0.0\n');
});
