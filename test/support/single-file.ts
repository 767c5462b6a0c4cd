/** What `npm run package` makes, made again where the program is newer. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const PACKAGE = join('.build', 'package');
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** Test files run side by side, and only the first makes it. */
const MAKE = `[ ${PACKAGE}/SHA256SUMS -nt dist/cli.js ] || exec "$0" --enable-source-maps .build/deploy/packaging/single-file.js`;

/** A file of the package by what follows the version in its name, such as `-linux-x64`. */
export function packaged(part: string): string {
  execFileSync('flock', ['.build/package.lock', 'sh', '-c', MAKE, process.execPath], { stdio: 'pipe' });
  return join(PACKAGE, `berth-${version}${part}`);
}
