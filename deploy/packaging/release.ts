/**
 * `npm run release -- VERSION`: everything that a release takes, done in a clone in .build/release, so that nothing
 * changes here: checks, tests, the section of the CHANGELOG, the artefacts, the commit and the tag. With `--really` the
 * commit and the tag are taken over, and the artefacts, into .build/package. `--untested` leaves the tests out.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeSums } from './contents.ts';
import { changelogOf, isNewer } from './changelog.ts';
import { hostedAt } from './hosted.ts';

const BRANCH = 'main';
const CLONE = join('.build', 'release');
const ARTEFACTS = join('.build', 'package');
/** It names the image, which has the version for a tag. */
const MANIFEST = join('deploy', 'kubernetes', 'berth.yml');

const options = { really: { type: 'boolean' }, untested: { type: 'boolean' } } as const;
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const [version = ''] = positionals;
const tag = `v${version}`;

const hosted = hostedAt(origin());
const faults = whatIsInTheWay();
if (faults.length > 0) {
  process.stderr.write(faults.map((fault) => `release: ${fault}\n`).join(''));
  process.exitCode = 1;
} else {
  prepare();
  if (values.really === true) takeOver();
  else say(`nothing has changed here; ${CLONE} has the commit, the tag and, in ${ARTEFACTS}, the artefacts`);
}

function whatIsInTheWay(): string[] {
  const { version: present } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const branch = git('.', 'branch', '--show-current');
  const unreleased = changelogOf(readFileSync('CHANGELOG.md', 'utf8')).unreleased;
  return [
    /^\d+\.\d+\.\d+$/.test(version) ? '' : 'which version? npm run release -- 1.2.3 [--really] [--untested]',
    version === '' || isNewer(version, present)
      ? ''
      : `${version} is not newer than ${present}, which package.json has`,
    branch === BRANCH ? '' : `a release is made of ${BRANCH}; this is ${branch || 'no branch'}`,
    git('.', 'status', '--porcelain') === '' ? '' : 'there are changes that are not committed (git status)',
    git('.', 'tag', '--list', tag) === '' ? '' : `there is a tag ${tag}`,
    unreleased === '' ? 'CHANGELOG.md has nothing below [Unreleased]' : '',
    values.really === true && values.untested === true ? '--untested is for trying: what is released is tested' : '',
    values.really === true && !hosted
      ? 'where is the repository? npm shows the address of origin: git remote add origin https://HOST/PATH.git'
      : '',
  ].filter((fault) => fault !== '');
}

/** Commit, tag and artefacts, in the clone. */
function prepare(): void {
  rmSync(CLONE, { recursive: true, force: true });
  git('.', 'clone', '--quiet', '--branch', BRANCH, '.', CLONE);
  inClone('npm', 'version', '--no-git-tag-version', '--allow-same-version', version);
  nameHost();
  const changelog = changelogOf(readFileSync(join(CLONE, 'CHANGELOG.md'), 'utf8'));
  writeFileSync(join(CLONE, 'CHANGELOG.md'), changelog.released(version, new Date()));
  const manifest = readFileSync(join(CLONE, MANIFEST), 'utf8');
  writeFileSync(join(CLONE, MANIFEST), manifest.replace(/(\/berth):\d\S*/, `$1:${version}`));
  say('setting up and checking');
  inClone('bash', 'test/setup.sh');
  inClone('npm', 'run', '--silent', 'check');
  if (values.untested !== true) inClone('npm', 'test');
  inClone('git', 'commit', '--quiet', '--all', '--message', `Berth ${version}`);
  // Git would take the titles for comments.
  const message = `Berth ${version}\n\n${changelog.unreleased}\n`;
  inClone('git', 'tag', '--annotate', '--cleanup=verbatim', tag, '--message', message);
  say('making the artefacts');
  inClone('npm', 'run', '--silent', 'package');
  inClone('npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', ARTEFACTS);
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  if (scripts['package:deb'] !== undefined) inClone('npm', 'run', '--silent', 'package:deb');
  writeSums(join(CLONE, ARTEFACTS));
  process.stdout.write(readFileSync(join(CLONE, ARTEFACTS, 'SHA256SUMS')));
}

/** A package says where it comes from; its source does not, since a copy of it may have moved. */
function nameHost(): void {
  const file = join(CLONE, 'package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, `${JSON.stringify({ ...manifest, ...hosted }, null, 2)}\n`);
}

/** Empty where there is no such remote. */
function origin(): string {
  return git('.', 'config', '--default', '', '--get', 'remote.origin.url');
}

/** The last step, and the only one that changes anything here. */
function takeOver(): void {
  git('.', 'fetch', '--quiet', resolve(CLONE), `refs/tags/${tag}:refs/tags/${tag}`);
  git('.', 'merge', '--quiet', '--ff-only', tag);
  if (existsSync(ARTEFACTS)) rmSync(ARTEFACTS, { recursive: true });
  cpSync(join(CLONE, ARTEFACTS), ARTEFACTS, { recursive: true });
  say(`${tag} is made, and ${ARTEFACTS} has its artefacts; publish it with:`);
  say(`  git push origin ${BRANCH} ${tag}`);
  say(`  npm publish ${join(ARTEFACTS, `berth-${version}.tgz`)}`);
}

function git(folder: string, ...args: readonly string[]): string {
  return execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim();
}

/** What a command of the clone says goes where ours goes. */
function inClone(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { cwd: CLONE, stdio: ['ignore', 'inherit', 'inherit'] });
}

function say(text: string): void {
  process.stdout.write(`release: ${text}\n`);
}
