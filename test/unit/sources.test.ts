/** What the form of the sources has to be, beyond what the formatter and the linter see to. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const WIDEST = 120;
const LONGEST = 250;
/** Every key of balancer.yml stands in one table, and every event of the log in another. */
const MAY_BE_LONGER = [join('src', 'config', 'schema.ts'), join('src', 'events.ts')];

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => join('src', file))
  .map((file) => ({ file, lines: readFileSync(file, 'utf8').trimEnd().split('\n') }));

test('no line of src/ is wider than 120 columns, comments, texts and expressions included', () => {
  assert.ok(sources.length > 100);
  const wide = sources.flatMap(({ file, lines }) =>
    lines.flatMap((line, i) => (line.length > WIDEST ? [`${file}:${i + 1}: ${line.length}`] : [])),
  );
  assert.deepEqual(wide, []);
});

test('no file of src/ is longer than 250 lines, but the two tables', () => {
  const long = sources.filter(({ file, lines }) => !MAY_BE_LONGER.includes(file) && lines.length > LONGEST);
  assert.deepEqual(
    long.map(({ file, lines }) => `${file}: ${lines.length}`),
    [],
  );
});

/** What `file` imports when it is loaded, and so on: types and what is imported later are left out. */
function loadedWith(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)';/gms);
  for (const [, path = ''] of imports) loadedWith(join(dirname(file), path), seen);
  return seen;
}

test('a balancer loads nothing of the doctor before it is configured', () => {
  const loaded = [...loadedWith(join('src', 'cli', 'start.ts'))];
  assert.ok(loaded.length > 80 && loaded.includes(join('src', 'rounds.ts')));
  assert.deepEqual(
    loaded.filter((file) => file.startsWith(join('src', 'doctor/'))),
    [],
  );
});
