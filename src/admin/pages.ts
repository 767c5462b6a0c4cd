import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';

/** A file of the dashboard. */
export type Page = { readonly type: string; readonly content: Buffer };

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
};

/** The page runs its own files alone, asks this address alone, and stands in no frame of another page. */
const POLICY = [
  "default-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
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
 * The files of the dashboard by their paths, read once: a request is looked up in this table, and no path of a request
 * is ever a path of the disk.
 */
export function readPages(folder = new URL('dashboard/', import.meta.url)): ReadonlyMap<string, Page> {
  const pages = new Map<string, Page>();
  for (const name of namesIn(folder)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const page = { type, content: readFileSync(new URL(name, folder)) };
    pages.set(`/dashboard/${name}`, page);
    if (name === 'index.html') pages.set('/', page);
  }
  return pages;
}

/** Without the folder there is no dashboard. */
function namesIn(folder: URL): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
