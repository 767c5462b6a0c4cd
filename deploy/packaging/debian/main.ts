/** `npm run package:deb`: Debian packages of the single files in .build/package/, beside them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSums } from '../contents.ts';
import { NODE, type Architecture } from '../node.ts';
import { sourceDate } from '../source-date.ts';
import { debianPackage } from './package.ts';

const FOLDER = join('.build', 'package');

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const date = sourceDate();
const licenses = readFileSync(join(FOLDER, `berth-${version}-licenses.txt`), 'utf8');
for (const architecture of Object.keys(NODE.integrity) as Architecture[]) {
  const program = join(FOLDER, `berth-${version}-linux-${architecture}`);
  if (!existsSync(program)) continue;
  process.stdout.write(`${debianPackage({ program, architecture, version, date, licenses, folder: FOLDER })}\n`);
}
writeSums(FOLDER);
