/** What is made of a clone that nobody has set up: a package of npm, one from the repository's address, a single file. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { start } from '../support/berth.ts';
import { visit } from '../support/clients.ts';
import { cloneInto, runIn } from '../support/clone.ts';
import { folderOf } from '../support/files.ts';
import { freeBind } from '../support/leftovers.ts';
import { blocksBelow } from '../support/pages.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { packaged } from '../support/single-file.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
/** npm may have to fetch packages. */
const SLOW = { timeout: 300_000 };

/** What an operator runs first, with the `berth` that is installed below `prefix`. */
async function works(t: TestContext, prefix: string): Promise<void> {
  const program = join(prefix, 'bin', 'berth');
  const berth = (...args: string[]): string => runIn(prefix, program, ...args);
  assert.equal(berth('--version'), `berth ${version}\n`);
  const [s1] = await serve(t, ['s1']);
  const admin = await freeBind('127.0.0.1');
  const running = await start(t, settings([s1!], {}, { admin: { bind: admin } }), { program });
  assert.equal((await visit(running, { port: await running.port() })).answered, 's1');
  assert.match(berth('check', '-c', running.file), /is valid: 1 frontend, 1 backend, 1 server/);
  assert.match(berth('status', '-c', running.file), /^ +s1 .* up /m);
  // Its node is no registry.
  const { status, stdout } = spawnSync(program, ['doctor', '-c', running.file, '--name', 'registry.test']);
  assert.match(String(stdout), /^FAIL .*s1: /m);
  assert.equal(status, 1);
  running.signal('SIGTERM');
  assert.equal(await running.exitCode(), 0);
}

/** npm has put the manual pages where `man` looks. */
function hasManual(prefix: string): void {
  const pages = `MANPATH=${join(prefix, 'share', 'man')}`;
  for (const page of ['berth', 'balancer.yml']) {
    assert.match(runIn(prefix, 'env', pages, 'man', page), new RegExp(`NAME\n +${page} - `));
  }
}

describe('from a clone that nobody has set up', () => {
  const folder = folderOf();
  const clone = join(folder, 'clone');
  before(() => cloneInto(clone));

  test('npm pack makes a package that has the program and what an operator copies, and no tests', SLOW, async (t) => {
    const prefix = join(folder, 'packed');
    const [install = ''] = blocksBelow('docs/install.md', 'npm');
    const own = [`npm_config_prefix=${prefix}`, `PATH=${join(prefix, 'bin')}:${process.env['PATH']}`];
    const said = runIn(clone, 'env', ...own, 'bash', '-ec', install);
    assert.match(said, new RegExp(`^berth ${version}$`, 'm'));
    const names = runIn(clone, 'tar', '-tzf', `berth-${version}.tgz`).split('\n');
    for (const name of ['dist/cli.js', 'balancer.yml', 'deploy/compose.yml', 'docs/operating.md', 'LICENSE']) {
      assert.ok(names.includes(`package/${name}`), name);
    }
    assert.deepEqual(
      names.filter((name) => /^package\/(src|test|bench)\/|\.map$|\.ts$/.test(name)),
      [],
    );
    assert.deepEqual(
      names
        .filter((name) => name.startsWith('package/dist/admin/dashboard/'))
        .map((name) => basename(name))
        .toSorted(),
      ['icon.svg', 'index.html', 'main.css', 'main.js'],
    );
    await works(t, prefix);
    hasManual(prefix);
  });

  test('npm packs and installs from the address of the repository, too', SLOW, async (t) => {
    const [there, prefix] = [join(folder, 'there'), join(folder, 'from-git')];
    mkdirSync(there);
    // Not in one command: npm 11 prepares a clone for a global install in the prefix itself (npm/cli issue 9406).
    const packed = runIn(folder, 'npm', 'pack', '--silent', '--pack-destination', there, `git+file://${clone}`).trim();
    runIn(folder, 'npm', 'install', '--global', '--prefix', prefix, join(there, packed));
    await works(t, prefix);
    hasManual(prefix);
  });

  test('npm run package makes the single file that the page installs', SLOW, async (t) => {
    const prefix = join(folder, 'single');
    for (const path of [join(prefix, 'bin'), join(clone, '.build')]) mkdirSync(path, { recursive: true });
    // Node is fetched once on a machine.
    packaged('-linux-x64');
    symlinkSync(resolve('.build/node'), join(clone, '.build/node'));
    const [install = ''] = blocksBelow('docs/install.md', 'A single file');
    const block = install.replace('/usr/local/bin/', `${prefix}/bin/`);
    const said = runIn(clone, 'env', `PATH=${join(prefix, 'bin')}:${process.env['PATH']}`, 'bash', '-ec', block);
    assert.match(said, new RegExp(`^berth ${version}$`, 'm'));
    await works(t, prefix);
  });
});
