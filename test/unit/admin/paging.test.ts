import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Largest } from '../../../src/admin/largest.ts';
import { Listings } from '../../../src/admin/paging.ts';

/** A list of the numbers below `length`, each after `gaps` steps that find nothing, which counts its steps. */
class Numbers {
  steps = 0;
  readonly #length: number;
  readonly #gaps: number;

  constructor(length: number, gaps = 0) {
    this.#length = length;
    this.#gaps = gaps;
  }

  readonly walk = function* (this: Numbers): Generator<number | undefined> {
    for (let i = 0; i < this.#length; i++) {
      for (let gap = 0; gap < this.#gaps; gap++) yield this.#step(undefined);
      yield this.#step(i);
    }
  }.bind(this);

  #step<T>(found: T): T {
    this.steps++;
    return found;
  }
}

const LENGTH = 20_000;
const PER_PAGE = 100;

/** Everything on all pages, as somebody sees who asks for one page after the other. */
async function all(listings: Listings, name: string, source: Parameters<Listings['page']>[2]): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let page = 1; ; page++) {
    const { items, pages } = await listings.page(name, { page, perPage: PER_PAGE }, source);
    found.push(...items);
    if (page >= pages) return found;
  }
}

const numbers = (length: number): number[] => Array.from({ length }, (_, i) => i);

test('all pages of a list together cost one walk, and a second one where its items have to be counted', async () => {
  const listings = new Listings();
  const counted = new Numbers(LENGTH);
  assert.deepEqual(await all(listings, 'a', { walk: counted.walk, total: LENGTH }), numbers(LENGTH));
  assert.ok(counted.steps <= LENGTH + 1, `${counted.steps} steps`);

  const uncounted = new Numbers(LENGTH, 2);
  assert.deepEqual(await all(listings, 'b', { walk: uncounted.walk }), numbers(LENGTH));
  assert.ok(uncounted.steps <= 2 * 3 * LENGTH, `${uncounted.steps} steps`);
});

test('all pages of a sorted list together cost a few walks, whatever its length', async () => {
  const list = new Numbers(LENGTH);
  const sorted = await all(new Listings(), 'a', { walk: list.walk, by: (one) => Number(one) });
  assert.deepEqual(sorted, numbers(LENGTH).toReversed());
  assert.ok(list.steps <= 3 * LENGTH, `${list.steps} steps`);
});

test('a sorted list has the twenty thousand largest, and tells of all', async () => {
  const list = new Numbers(25_000);
  const listings = new Listings();
  const source = { walk: list.walk, by: (one: number) => one };
  const last = await listings.page('a', { page: 20, perPage: 1_000 }, source);
  assert.deepEqual([last.items[0], last.items.length, last.total, last.pages], [5_999, 1_000, 25_000, 20]);
  assert.deepEqual((await listings.page('a', { page: 21, perPage: 1_000 }, source)).items, []);
});

test('any page can be asked for, in any order and by several at once', async () => {
  const listings = new Listings();
  const list = new Numbers(1_000);
  const order = [3, 1, 2, 2, 10, 4, 11, 5, 3, 9];
  const pages = await Promise.all(
    order.map((page) => listings.page('a', { page, perPage: PER_PAGE }, { walk: list.walk, total: 1_000 })),
  );
  for (const [i, { items, page }] of pages.entries()) {
    assert.equal(page, order[i]);
    const from = (page - 1) * PER_PAGE;
    assert.deepEqual(items, numbers(1_000).slice(from, from + PER_PAGE));
  }
});

test('lists of another name, question or size of page go on by themselves', async () => {
  const listings = new Listings();
  const page = async (name: string, length: number, more: object, number: number): Promise<unknown> => {
    const { walk } = new Numbers(length);
    const { items } = await listings.page(name, { page: number, perPage: 2, ...more }, { walk, total: length });
    return items;
  };
  await page('a', 9, {}, 1);
  await page('b', 9, {}, 1);
  await page('a', 9, { server: 'b/s1' }, 1);
  await page('a', 9, { perPage: 3 }, 1);
  for (const [name, more, items] of [
    ['a', {}, [2, 3]],
    ['b', {}, [2, 3]],
    ['a', { server: 'b/s1' }, [2, 3]],
    ['a', { perPage: 3 }, [3, 4, 5]],
  ] as const)
    assert.deepEqual(await page(name, 9, more, 2), items);
});

test('a list that nobody goes on with is forgotten after ten seconds, and makes room for others before', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const list = new Numbers(1_000);
  const listings = new Listings();
  const ask = (name: string, page: number): Promise<unknown> =>
    listings.page(name, { page, perPage: PER_PAGE }, { walk: list.walk, total: 1_000 });
  await ask('a', 1);
  t.mock.timers.tick(10_001);
  list.steps = 0;
  await ask('a', 2);
  assert.equal(list.steps, 200, 'from the start again');
  for (let i = 0; i < 16; i++) await ask(`b${i}`, 1);
  list.steps = 0;
  await ask('a', 3);
  assert.equal(list.steps, 300);
  list.steps = 0;
  await ask('a', 4);
  assert.equal(list.steps, 100, 'goes on');
});

test('a long walk leaves turns of the event loop to others', async () => {
  const list = new Numbers(300_000);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await all(new Listings(), 'a', { walk: list.walk, by: (one) => -Number(one) });
  clearInterval(timer);
  assert.ok(turns > 3, `${turns} turns`);
});

test('the largest are those that a sort would find, in its order', () => {
  const values = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 200 }), (some, most, times) => {
      // More than are put in order at once.
      const given = Array.from({ length: times }, () => some).flat();
      const largest = new Largest<number>(most);
      for (const [i, value] of given.entries()) largest.add(i, value);
      const sorted = [...given.keys()].toSorted((a, b) => (given[b] ?? 0) - (given[a] ?? 0));
      assert.deepEqual(largest.items, sorted.slice(0, most));
      assert.equal(largest.count, given.length);
    }),
  );
});
