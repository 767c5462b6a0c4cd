/** `npm run package`: Berth with Node in one file, and what comes with it. */
import { Ajv } from 'ajv';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { visit } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { preload } from '../support/preload.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { PACKAGE, packaged } from '../support/single-file.ts';

const SCHEMAS = 'node_modules/@cyclonedx/cyclonedx-library/res/schema';
/** Where Debian has what a program of the other architecture needs. */
const ARM64 = '/usr/aarch64-linux-gnu';
/** The package is made first, and Node fetched before it. */
const SLOW = { timeout: 300_000 };
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

type Component = { name: string; version: string; licenses?: object[]; components?: Component[] };
type Sbom = { specVersion: string; metadata: { component: Component }; components: Component[] };

/** The shared libraries that a program is linked with, and what loads them. */
function librariesOf(program: string): string[] {
  const said = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, library = '']) => library);
}

test('where there are no Node, no shell and no other program, it checks, starts and serves', SLOW, async (t) => {
  const absent = noNamespaces('mount');
  assert.equal(absent, false);
  const root = folderOf(t);
  const single = packaged('-linux-x64');
  for (const file of librariesOf(single)) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  for (const folder of ['proc', 'dev', 'tmp']) mkdirSync(join(root, folder));
  copyFileSync(single, join(root, 'berth'));
  const into = `mount -t proc proc "$0/proc" && mount --bind /tmp "$0/tmp" && exec chroot "$0" "$@"`;
  const through = ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', into, root];
  const berth = await start(t, settings(await serve(t, ['s1'])), { program: '/berth', through });
  assert.equal((await visit(berth, { port: await berth.port() })).answered, 's1');
  const run = (...args: string[]): string => {
    const [program = '', ...rest] = [...through, '/berth', ...args];
    return execFileSync(program, rest, { encoding: 'utf8' });
  };
  assert.equal(run('--version'), `berth ${version}\n`);
  assert.match(run('check', '-c', berth.file), /is valid: 1 frontend, 1 backend, 1 server/);
});

test('its dashboard and its schema are those of dist', SLOW, async (t) => {
  const single = packaged('-linux-x64');
  const berth = await start(t, settings(await serve(t, ['s1'])), { program: single });
  const { address } = await berth.line(({ msg }) => msg === 'admin listening');
  const page = await fetch(`http://${String(address)}/`);
  assert.equal(await page.text(), readFileSync('dist/admin/dashboard/index.html', 'utf8'));
  const schemas = [[single], [process.execPath, 'dist/cli.js']].map(([program = '', ...args]) =>
    execFileSync(program, [...args, 'schema'], { encoding: 'utf8' }),
  );
  assert.equal(schemas[0], schemas[1]);
});

test("flags of Node's are not the single file's, and NODE_OPTIONS is obeyed as with `node dist/cli.js`", SLOW, () => {
  const single = packaged('-linux-x64');
  const run = (...args: string[]) => spawnSync(single, args, { encoding: 'utf8', timeout: 60_000 });
  for (const flag of ['--inspect=0', '--eval=1', '--node-options=--inspect=0', '--expose-gc']) {
    const { status, stderr } = run(flag);
    assert.equal(status, 2);
    assert.equal(stderr, `berth: unknown option ${flag.split('=')[0]}. See berth --help\n`);
  }
  assert.match(run('--', '--version').stderr, /^berth: unknown command/);
  const env = { ...process.env, ...preload('process.exit(7)') };
  assert.equal(spawnSync(single, ['--version'], { env }).status, 7);
});

test('the file for arm64 runs there', SLOW, () => {
  const said = execFileSync('qemu-aarch64', ['-L', ARM64, packaged('-linux-arm64'), 'check', 'balancer.yml']);
  assert.match(String(said), /^balancer\.yml is valid/);
});

test('each thing in it has its licence and stands in the SBOM, which is as CycloneDX wants it', SLOW, () => {
  const sbom = JSON.parse(readFileSync(packaged('.cdx.json'), 'utf8')) as Sbom;
  const schema = (name: string): object => JSON.parse(readFileSync(`${SCHEMAS}/${name}.SNAPSHOT.schema.json`, 'utf8'));
  const ajv = new Ajv({ strict: false, validateFormats: false });
  for (const name of ['spdx', 'jsf-0.82']) {
    const { $id: _, ...rest } = schema(name) as { $id: string };
    ajv.addSchema(rest, `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  }
  const isValid = ajv.compile(schema(`bom-${sbom.specVersion}`));
  assert.ok(isValid(sbom), ajv.errorsText(isValid.errors));
  assert.deepEqual([sbom.metadata.component.name, sbom.metadata.component.version], ['berth', version]);
  const names = sbom.components.map(({ name }) => name);
  for (const name of ['pino', 'prom-client', 'lru-cache', 'yaml', 'zod', 'node']) assert.ok(names.includes(name), name);
  const licenses = readFileSync(packaged('-licenses.txt'), 'utf8');
  for (const component of sbom.components) {
    const title = component.name === 'node' ? 'Node.js' : component.name;
    assert.ok(licenses.includes(`\n${title} ${component.version}`), title);
  }
  const node = sbom.components.find(({ name }) => name === 'node');
  assert.ok(node?.components?.some(({ name }) => name === 'openssl'));
});

test('SHA256SUMS has the sum of every file', SLOW, () => {
  const folder = dirname(packaged('-linux-x64'));
  const said = execFileSync('sha256sum', ['--check', 'SHA256SUMS'], { cwd: folder, encoding: 'utf8' });
  for (const part of ['-linux-x64', '-linux-arm64', '-licenses.txt', '.cdx.json']) {
    assert.ok(said.includes(`${basename(packaged(part))}: OK\n`), part);
  }
});

test('the same source makes the same bytes, in another folder and at another time', SLOW, (t) => {
  const folder = folderOf(t);
  const sums = readFileSync(join(dirname(packaged('-linux-x64')), 'SHA256SUMS'), 'utf8');
  const { components } = JSON.parse(readFileSync(packaged('.cdx.json'), 'utf8')) as Sbom;
  const bundled = components.map(({ name }) => name).filter((name) => name !== 'node');
  const modules = [...bundled, 'esbuild', '@esbuild'].map((name) => join('node_modules', name));
  for (const part of ['dist', 'LICENSE', 'package.json', 'package-lock.json', '.build/deploy/packaging', ...modules]) {
    cpSync(part, join(folder, part), { recursive: true, verbatimSymlinks: true });
  }
  symlinkSync(resolve('.build/node'), join(folder, '.build/node'));
  const date = execFileSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' }).trim();
  const env = { ...process.env, SOURCE_DATE_EPOCH: date };
  execFileSync(process.execPath, ['.build/deploy/packaging/single-file.js'], { cwd: folder, env, stdio: 'pipe' });
  assert.ok(existsSync(join(folder, PACKAGE)));
  assert.equal(readFileSync(join(folder, PACKAGE, 'SHA256SUMS'), 'utf8'), sums);
});
