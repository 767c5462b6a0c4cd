import { ownFile } from '../own-files.ts';

/** A file of the dashboard. */
export type Page = { readonly type: string; readonly content: Buffer };

/** Where the build puts it, in the package. */
const FOLDER = 'dist/admin/dashboard/';

/** The dashboard by its paths: the page, its script and its style, each in one file, and its icon. */
const FILES = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/dashboard/main.js': { name: 'main.js', type: 'text/javascript; charset=utf-8' },
  '/dashboard/main.css': { name: 'main.css', type: 'text/css; charset=utf-8' },
  '/dashboard/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
} as const;

/**
 * The page runs its own script alone, asks this address alone, makes no code or markup of a text, and stands in no
 * frame of another page.
 */
const POLICY = [
  "default-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Every file of the dashboard has these headers. */
export const PAGE_HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
} as const;

/**
 * The files of the dashboard, read once: a request is looked up in this table, and no path of a request is ever a path
 * of the disk. Where the dashboard was not built there are none.
 */
export function readPages(read = ownFile): ReadonlyMap<string, Page> {
  const pages = new Map<string, Page>();
  for (const [path, { name, type }] of Object.entries(FILES)) {
    const content = read(`${FOLDER}${name}`);
    if (content) pages.set(path, { type, content });
  }
  return pages;
}
