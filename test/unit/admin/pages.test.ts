import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPages } from '../../../src/admin/pages.ts';

test('the page, its script, its style and its icon are served, and no other file is read', () => {
  const pages = readPages((path) => Buffer.from(path));
  const served = Object.fromEntries(
    [...pages].map(([path, { type, content }]) => [path, `${type} ${String(content)}`]),
  );
  assert.deepEqual(served, {
    '/': 'text/html; charset=utf-8 dist/admin/dashboard/index.html',
    '/dashboard/main.js': 'text/javascript; charset=utf-8 dist/admin/dashboard/main.js',
    '/dashboard/main.css': 'text/css; charset=utf-8 dist/admin/dashboard/main.css',
    '/dashboard/icon.svg': 'image/svg+xml dist/admin/dashboard/icon.svg',
  });
});

test('the build has made each of them', () => {
  assert.equal(readPages().size, 4);
});

test('where the dashboard was not built there are no pages', () => {
  assert.equal(readPages(() => undefined).size, 0);
});
