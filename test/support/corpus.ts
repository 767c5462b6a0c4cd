/** Files of other balancers, written after those that people have put on the net, and what the import makes of them. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { importHaproxy } from '../../src/import/haproxy.ts';
import { importNginx } from '../../src/import/nginx.ts';
import type { Imported } from '../../src/import/result.ts';
import type { Around } from '../../src/import/draft.ts';
import type { Environment } from '../../src/import/words.ts';

export const CORPUS = 'test/unit/import/corpus';

/** What the file NAME.EXTENSION of the corpus says, and where its results stand beside it. */
export type Specimen = { readonly name: string; readonly path: string; readonly text: string; readonly wanted: string };

export function specimens(extension: 'cfg' | 'conf'): Specimen[] {
  return readdirSync(CORPUS)
    .filter((name) => name.endsWith(`.${extension}`))
    .map((name) => {
      const path = join(CORPUS, name);
      return { name, path, text: readFileSync(path, 'utf8'), wanted: join(CORPUS, `${name}.yml`) };
    });
}

/** A machine without variables, on which the lists of the corpus are. */
export const AROUND: Around & { environment: Environment } = {
  environment: {},
  readList: (file) => {
    const path = join(CORPUS, file);
    if (!existsSync(path) || !statSync(path).isFile()) return undefined;
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.filter((line) => line !== '' && !line.startsWith('#'));
  },
  locate: (file) => resolve('/etc/haproxy', file),
};

/** As `berth import` does. */
export function importSpecimen({ name, text }: Specimen): Imported {
  return name.endsWith('.conf') ? importNginx(text, name, AROUND) : importHaproxy(text, name, AROUND);
}
