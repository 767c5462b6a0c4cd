import { existsSync, readFileSync } from 'node:fs';

/** The version of the package that this file is in. */
export const version = (JSON.parse(readFileSync(nearest('package.json'), 'utf8')) as { version: string }).version;

/** In `dist`, and where the tests are compiled to, this file lies at another depth. */
function nearest(name: string, folder = new URL('.', import.meta.url)): URL {
  const file = new URL(name, folder);
  const above = new URL('..', folder);
  return existsSync(file) || above.href === folder.href ? file : nearest(name, above);
}
