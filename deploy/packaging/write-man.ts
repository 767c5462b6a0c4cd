/** `npm run man`: writes the manual pages to dist/man/, from where the npm package installs them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manPages } from './man-pages.ts';
import { sourceDate } from './source-date.ts';

const FOLDER = join('dist', 'man');

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
mkdirSync(FOLDER, { recursive: true });
const pages = manPages({ version, date: new Date(sourceDate() * 1_000) });
for (const [name, text] of Object.entries(pages)) writeFileSync(join(FOLDER, name), text);
