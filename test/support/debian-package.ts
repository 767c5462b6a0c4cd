/** The Debian package of the single file, as a test tries it. */
import { mkdirSync, readFileSync } from 'node:fs';
import type { Architecture } from '../../deploy/packaging/node.ts';
import { debianPackage, type Making } from '../../deploy/packaging/debian/package.ts';
import { packaged } from './single-file.ts';

export const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const architecture = process.arch as Architecture;

/** Makes it in `folder`, and the folder. Compressing it would take a minute, and changes nothing of what is in it. */
export function makePackage(folder: string, more: Partial<Making> = {}): string {
  mkdirSync(folder, { recursive: true });
  const program = packaged(`-linux-${architecture}`);
  const licenses = readFileSync(packaged('-licenses.txt'), 'utf8');
  const making = { program, architecture, version, date: 1_790_000_000, licenses, folder };
  return debianPackage({ ...making, isQuick: true, ...more });
}
