/** `npm run reference`: writes docs/reference.md from the schema. */
import { writeFileSync } from 'node:fs';
import { REFERENCE, reference } from './support/reference.ts';

writeFileSync(REFERENCE, await reference());
