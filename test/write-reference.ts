/** `npm run reference`: brings the README's configuration reference up to date with the schema. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { withReference } from './support/reference.ts';

writeFileSync('README.md', withReference(readFileSync('README.md', 'utf8')));
execFileSync('node_modules/.bin/prettier', ['--write', 'README.md'], { stdio: 'inherit' });
