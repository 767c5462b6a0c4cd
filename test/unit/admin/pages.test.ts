import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readPages, type Page } from '../../../src/admin/pages.ts';
import { folderOf } from '../../support/files.ts';

function pagesOf(t: TestContext, names: readonly string[]): ReadonlyMap<string, Page> {
  const folder = folderOf(t);
  for (const name of names) writeFileSync(join(folder, name), name);
  return readPages(pathToFileURL(`${folder}/`));
}

test('each file of the folder has its path and its type; the index has / too', (t) => {
  const pages = pagesOf(t, ['index.html', 'main.js', 'base.css', 'icon.svg']);
  const found = Object.fromEntries(
    [...pages].map(([path, { type, content }]) => [path, `${type} ${content.toString()}`]),
  );
  assert.deepEqual(found, {
    '/': 'text/html; charset=utf-8 index.html',
    '/dashboard/index.html': 'text/html; charset=utf-8 index.html',
    '/dashboard/main.js': 'text/javascript; charset=utf-8 main.js',
    '/dashboard/base.css': 'text/css; charset=utf-8 base.css',
    '/dashboard/icon.svg': 'image/svg+xml icon.svg',
  });
});

test('files of other kinds and folders are no pages', (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'tsconfig.json'), '{}');
  writeFileSync(join(folder, 'main.ts'), '');
  writeFileSync(join(folder, '.env'), '');
  symlinkSync('/etc/passwd', join(folder, 'passwd'));
  mkdirSync(join(folder, 'folder'));
  assert.deepEqual([...readPages(pathToFileURL(`${folder}/`)).keys()], []);
});

test('where the dashboard was not built there are no pages', () => {
  assert.equal(readPages(pathToFileURL('/nowhere/at/all/')).size, 0);
});
