import { existsSync, readFileSync } from 'node:fs';
import sea from 'node:sea';

/**
 * Where the package is: in `dist`, and where the tests are compiled to, this file lies at another depth. The single
 * file, which has Node, the code and Berth's own files in one, asks the disk for nothing.
 */
const PACKAGE = sea.isSea() ? undefined : folderWith('package.json');

/** A file of Berth's own, by its path in the package, such as `package.json`; undefined where there is no such file. */
export function ownFile(path: string): Buffer | undefined {
  try {
    return PACKAGE ? readFileSync(new URL(path, PACKAGE)) : Buffer.from(sea.getAsset(path));
  } catch {
    return undefined;
  }
}

function folderWith(name: string, folder = new URL('.', import.meta.url)): URL {
  const above = new URL('..', folder);
  return above.href === folder.href || existsSync(new URL(name, folder)) ? folder : folderWith(name, above);
}
