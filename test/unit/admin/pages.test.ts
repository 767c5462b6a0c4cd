import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readPages } from '../../../src/admin/pages.ts';
import { folderOf } from '../../support/files.ts';

/** What is served of a folder that has these files. */
function served(t: TestContext, names: readonly string[]): Record<string, string> {
  const folder = folderOf(t);
  for (const name of names) writeFileSync(join(folder, name), name);
  symlinkSync('/etc/passwd', join(folder, 'passwd.js'));
  mkdirSync(join(folder, 'folder.js'));
  const pages = readPages(pathToFileURL(`${folder}/`));
  return Object.fromEntries([...pages].map(([path, { type, content }]) => [path, `${type} ${content.toString()}`]));
}

test('the page, its script, its style and its icon are served, and nothing else that the folder may have', (t) => {
  const others = ['main.js.map', 'main.ts', 'page.js', 'tsconfig.json', '.env'];
  assert.deepEqual(served(t, ['index.html', 'main.js', 'main.css', 'icon.svg', ...others]), {
    '/': 'text/html; charset=utf-8 index.html',
    '/dashboard/main.js': 'text/javascript; charset=utf-8 main.js',
    '/dashboard/main.css': 'text/css; charset=utf-8 main.css',
    '/dashboard/icon.svg': 'image/svg+xml icon.svg',
  });
});

test('where the dashboard was not built there are no pages', () => {
  assert.equal(readPages(pathToFileURL('/nowhere/at/all/')).size, 0);
});
