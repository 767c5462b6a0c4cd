import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { Outline } from '../../../src/import/outline.ts';
import { yamlScalar } from '../../../src/import/yaml-scalar.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.string({
    unit: fc.constantFrom(...'*[]{}:#-?|>!&%@`\'"\\, .0123456789exo+_~nulltrue\n\t'.split('')),
    maxLength: 8,
  }),
  fc.constantFrom('', 'true', 'Null', 'no', 'y', '1e3', '0x1f', '0o17', '1_000', '.5', '-.inf', '.NaN', '12:30:45'),
  fc.constantFrom('*:443', '[::1]:443', '10.0.0.1', '::1', '2001:db8::/32', 'unix:/run/x.sock', '2s', '<<', '~', '---'),
);
const value = fc.oneof(text, fc.integer(), fc.boolean());

test('a value and a key stand in YAML so that YAML reads them as they were', () => {
  fc.assert(
    fc.property(value, text, (one, key) => {
      assert.deepEqual(parse(`a: ${yamlScalar(one)} # line 3\n`), { a: one });
      assert.deepEqual(parse(`${yamlScalar(key)}: 1\n`), { [key]: 1 });
      assert.equal(yamlScalar(one).includes('\n'), false);
    }),
    { numRuns: 3_000 },
  );
});

const { outline } = fc.letrec<{ outline: Outline; item: Outline }>((tie) => ({
  outline: fc
    .array(
      fc.tuple(
        text,
        fc.oneof({ maxDepth: 3 }, value, fc.array(fc.oneof(value, tie('item')), { maxLength: 3 }), tie('outline')),
      ),
      {
        maxLength: 4,
      },
    )
    .map((entries) => {
      const made = new Outline(entries.length);
      for (const [key, entry] of entries) {
        const sourced = (one: string | number | boolean | Outline) =>
          one instanceof Outline ? one : { value: one, line: entries.length };
        made.put(key, Array.isArray(entry) ? entry.map((one) => sourced(one as Outline)) : sourced(entry));
      }
      return made;
    }),
  // The items of a list are values or maps of some keys.
  item: fc.tuple(text, value).map(([key, one]) => {
    const made = new Outline();
    made.set(key, one, 7);
    made.set('x', 1);
    return made;
  }),
}));

test('an outline stands in YAML so that YAML reads what it is', () => {
  fc.assert(
    fc.property(outline, (made) => {
      assert.deepEqual(parse(made.toYaml('Made of "it".\n\nAnd so on.')) ?? {}, made.toJS());
    }),
    { numRuns: 500 },
  );
});
