/** What has not changed between two configurations is the very same object in both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { schema } from '../../../src/config/schema.ts';
import { share } from '../../../src/generation/plan.ts';

type Tree = Readonly<Record<string | number, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

/** Few keys and few values, so that equal parts are common. */
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: 'medium' },
    fc.constantFrom<unknown>(0, 1, 'x', null, undefined, true),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('tree'), { maxKeys: 3, noNullPrototype: true }),
    fc.array(tie('tree'), { maxLength: 3 }),
  ),
}));

/** Two trees that have something in common, mostly: the second is a copy of the first with another part in one place. */
const related = fc.oneof(
  fc.tuple(tree, tree),
  tree.map((one) => [one, structuredClone(one)] as const),
  fc.tuple(tree, tree, tree).map(([a, b, c]) => [{ a, b }, structuredClone({ a, b: c })] as const),
  fc.tuple(tree, tree, tree).map(([a, b, c]) => [[a, { b }], structuredClone([a, { b, c }])] as const),
);

/** Each part of `shared` that equals its counterpart in `old` is that; all that is new is frozen. */
function assertShared(old: unknown, shared: unknown, path = '$'): void {
  if (isDeepStrictEqual(old, shared)) return assert.ok(Object.is(old, shared), `${path} is not what it was`);
  if (!isTree(shared) || !isTree(old)) return;
  assert.ok(Object.isFrozen(shared), `${path} can be changed`);
  for (const [key, value] of Object.entries(shared)) assertShared(old[key], value, `${path}.${key}`);
}

test('what is shared equals the new configuration, and each part that has not changed is the old one', () => {
  fc.assert(
    fc.property(related, ([old, next]) => {
      const [before, wanted] = [structuredClone(old), structuredClone(next)];
      const shared = share(old, next);
      assert.deepStrictEqual(shared, wanted);
      assert.deepStrictEqual(old, before, 'the old one is as it was');
      assertShared(old, shared);
    }),
    { numRuns: 2_000 },
  );
});

test('of a real configuration what a reload has not touched is known by its identity', () => {
  const configure = (expire: string): ReturnType<typeof schema.parse> =>
    schema.parse({
      frontends: { f: { bind: '*:443', backend: 'b' }, g: { bind: ['*:444', '*:445'], backend: 'c' } },
      backends: {
        b: { servers: { s1: '10.0.0.1:5000', s2: 'dns:r.test:5000' } },
        c: { servers: { s1: '10.0.0.1:5000' }, stickTable: { expire } },
      },
    });
  const old = configure('30m');
  assert.equal(share(old, configure('30m')), old);
  const next = share(old, configure('1h'));
  assert.deepStrictEqual(next, configure('1h'));
  assert.notEqual(next.backends['c'], old.backends['c']);
  assert.equal(next.backends['b'], old.backends['b']);
  assert.equal(next.backends['c']?.servers, old.backends['c']?.servers);
  for (const key of ['frontends', 'timeouts', 'metrics', 'state', 'log'] as const) assert.equal(next[key], old[key]);
});
