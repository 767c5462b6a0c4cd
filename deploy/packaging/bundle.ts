/** The program in one script, and the npm packages that are in the script. */
import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NODE } from './node.ts';

/** The CommonJS packages among the dependencies call `require` for Node's own modules. */
const REQUIRE = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`;

export type Bundled = { readonly folder: string; readonly name: string; readonly version: string };

/** Bundles `dist/` with what it imports, later or at once, into `outfile`. */
export async function bundle(outfile: string): Promise<readonly Bundled[]> {
  const { metafile } = await build({
    entryPoints: ['dist/cli.js'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: `node${NODE.version}`,
    banner: { js: REQUIRE },
    // A process keeps its whole script in memory, and for a single letter beyond ASCII, be it in a comment, two bytes of
    // each character. Lines stay short, since Node prints the line that throws.
    minifyWhitespace: true,
    lineLimit: 120,
    // The licences stand beside the single file, whole.
    legalComments: 'none',
    // The compiler has done what tsconfig.json says.
    tsconfigRaw: {},
    metafile: true,
    logLevel: 'warning',
  });
  if (/[\u0080-\u00ff]/.test(readFileSync(outfile, 'latin1'))) throw new Error(`${outfile} has letters beyond ASCII`);
  const folders = Object.keys(metafile.inputs).map((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return [...new Set(folders)].flatMap((folder) => (folder === undefined ? [] : [packageIn(folder)])).toSorted(byName);
}

function packageIn(folder: string): Bundled {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Bundled;
  return { folder, name, version };
}

const byName = (a: Bundled, b: Bundled): number => (a.name < b.name ? -1 : 1);
