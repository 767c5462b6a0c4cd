/** `npm run reference`: writes the pages that are made from the source. */
import { writeFileSync } from 'node:fs';
import { DIRECTIVES, directives } from './support/directives.ts';
import { REFERENCE, reference } from './support/reference.ts';

writeFileSync(REFERENCE, await reference());
writeFileSync(DIRECTIVES, await directives());
