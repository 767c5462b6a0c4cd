/**
 * `npm run package [-- ARCHITECTURE…]`: Berth as one file that needs no Node, for each architecture, in .build/package/.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.ts';
import { licenses, sbom, writeSums } from './contents.ts';
import { NODE, nodeFor, type Architecture } from './node.ts';

const OUT = join('.build', 'package');
/** Where the files are made: `OUT` has all of them or those of an earlier run. */
const NEW = join('.build', 'package-new');
/** What the files are made of, which nobody needs afterwards. */
const PARTS = join('.build', 'package-parts');
const DASHBOARD = join('dist', 'admin', 'dashboard');

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const known = Object.keys(NODE.integrity) as Architecture[];
const asked = process.argv.slice(2);
const architectures = asked.length === 0 ? known : known.filter((architecture) => asked.includes(architecture));
const unknown = asked.filter((architecture) => !known.includes(architecture as Architecture));
if (unknown.length > 0) throw new Error(`no architecture: ${unknown.join(', ')}; there are ${known.join(' and ')}`);

for (const folder of [NEW, PARTS]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}
const script = join(PARTS, 'berth.mjs');
const bundled = await bundle(script);
/** The Node that runs here; what it says of itself holds for the others, which are of the same release. */
const here = nodeFor(process.arch as Architecture);
for (const architecture of architectures) singleFile(architecture);
writeFileSync(join(NEW, `berth-${version}-licenses.txt`), licenses(bundled, here));
writeFileSync(join(NEW, `berth-${version}.cdx.json`), sbom(bundled, here));
writeSums(NEW);
rmSync(PARTS, { recursive: true });
rmSync(OUT, { recursive: true, force: true });
renameSync(NEW, OUT);
process.stdout.write(
  readdirSync(OUT)
    .map((name) => `${join(OUT, name)}\n`)
    .join(''),
);

function singleFile(architecture: Architecture): void {
  const stripped = join(PARTS, `node-${architecture}`);
  copyFileSync(nodeFor(architecture).executable, stripped);
  // A fifth of Node is names for a debugger.
  execFileSync('eu-strip', [stripped]);
  const output = join(NEW, `berth-${version}-linux-${architecture}`);
  const config = join(PARTS, `${architecture}.json`);
  const ownFiles = ['package.json', ...readdirSync(DASHBOARD).map((name) => join(DASHBOARD, name))];
  const settings = {
    main: script,
    mainFormat: 'module',
    executable: stripped,
    output,
    disableExperimentalSEAWarning: true,
    // Node cannot compile for another processor.
    useCodeCache: architecture === process.arch,
    // NODE_OPTIONS holds here as it does for `node dist/cli.js` (but --import, which Node leaves out of a single file);
    // each flag of the command line is Berth's.
    execArgvExtension: 'env',
    assets: Object.fromEntries(ownFiles.map((file) => [file, file])),
  };
  writeFileSync(config, JSON.stringify(settings));
  // Without --predictable the code cache would differ from build to build.
  const args = ['--predictable', '--build-sea', config];
  execFileSync(here.executable, args, { stdio: 'pipe' });
}
