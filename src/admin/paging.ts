import * as z from 'zod';
import { Largest } from './largest.ts';
import { whole } from './parameters.ts';
import { eachOf, untilOf } from './slices.ts';

/** How many items a list has that is sorted: so many are held in memory. */
const MOST_SORTED = 20_000;
/** Pages of a sorted list that are worked out at once. */
const AHEAD = 10;
/** Lists whose next page may be asked for, and how long they are kept for that. */
const [MOST_KEPT, KEPT_MS] = [16, 10_000];

/** The query parameters of every list. */
export const pagingQuery = {
  page: whole(1, 1_000_000)
    .default(1)
    .describe('Which page, from 1 on; the page that follows the last one goes on where that ended'),
  perPage: whole(1, 1_000).default(100).describe('Items on a page'),
};

type Paging = { readonly page: number; readonly perPage: number };

/** The query parameter of a list that is sorted by one of these fields. */
export const sortQuery = <K extends string>(by: Readonly<Record<K, unknown>>) => {
  const fields = Object.keys(by) as [K, ...K[]];
  return z
    .enum(fields, { error: `expected ${fields.join(', ')}` })
    .optional()
    .describe(`The largest of this field first: ${MOST_SORTED} items at most`);
};

/** The answer of a list of such items. */
export const listOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item),
    page: z.int().describe('This page'),
    perPage: z.int().describe('Most items on a page'),
    total: z.int().describe('Items in all, as its first page was asked for'),
    pages: z.int().describe('Pages in all'),
  });

type Page<T> = Paging & { readonly items: T[]; readonly total: number; readonly pages: number };

/** What a list is made of. */
type Source<T> = {
  /** It yields undefined for a step that finds nothing, so that a rare find does not hold the event loop. */
  readonly walk: () => Iterable<T | undefined>;
  /** How many the walk finds, where that is known without a walk. */
  readonly total?: number | undefined;
  /** The largest come first; undefined: in the order of the walk. */
  readonly by?: ((item: T) => number) | undefined;
};

/** A list that has been walked so far. */
type Listing = {
  readonly rest: Iterator<unknown>;
  /** How many finds the walk has before its end, as far as is known. */
  readonly reach: number;
  /** How many there are in all; undefined while nobody has counted them. */
  readonly total: number | undefined;
};

/** A list whose next page may be asked for. */
type Kept = Listing & { readonly list: string; readonly next: number; readonly timer: NodeJS.Timeout };

/**
 * Makes the pages of lists. All pages of a list together cost one walk, or two where its items have to be counted: a
 * walk is kept where a page ends, and goes on when the page after it is asked for. Whoever asks for another page, or
 * too late, has the list walked from its start.
 */
export class Listings {
  /** The oldest first. */
  #kept: readonly Kept[] = [];

  /** All lists of one `name` have items of one type. */
  async page<T>(name: string, query: Paging, source: Source<T>): Promise<Page<T>> {
    const { page, perPage } = query;
    const list = JSON.stringify([name, { ...query, page: 0 }]);
    const [from, to] = [(page - 1) * perPage, page * perPage];
    const known = this.#take(list, page);
    const { rest, reach, total: counted } = known ?? (await begin(source, to));
    const walk = rest as Iterator<T | undefined>;
    let found = known ? from : await pass(walk, from, () => {});
    const items: T[] = [];
    found += await pass(walk, perPage, (item) => items.push(item));
    const total = counted ?? (found < to ? found : Math.max(found, await count(source.walk())));
    const pages = Math.ceil((source.by ? Math.min(total, MOST_SORTED) : total) / perPage);
    if (found === to && page < pages && to < reach) this.#keep({ rest, reach, total }, list, page + 1);
    return { items, page, perPage, total, pages };
  }

  #take(list: string, page: number): Listing | undefined {
    const found = this.#kept.find((one) => one.list === list && one.next === page);
    this.#drop(found);
    return found;
  }

  #keep(listing: Listing, list: string, next: number): void {
    // Whoever looks at first pages again and again keeps one of them.
    if (next === 2) this.#take(list, next);
    if (this.#kept.length >= MOST_KEPT) this.#drop(this.#kept[0]);
    const kept: Kept = { ...listing, list, next, timer: setTimeout(() => this.#drop(kept), KEPT_MS).unref() };
    this.#kept = [...this.#kept, kept];
  }

  #drop(kept: Kept | undefined): void {
    clearTimeout(kept?.timer);
    this.#kept = this.#kept.filter((one) => one !== kept);
  }
}

/** The start of a list, so that at least `wanted` items of it can be had. */
async function begin<T>({ walk, total, by }: Source<T>, wanted: number): Promise<Listing> {
  if (!by) return { rest: walk()[Symbol.iterator](), reach: Infinity, total };
  const reach = Math.min(MOST_SORTED, wanted * AHEAD);
  const largest = new Largest<T>(reach);
  await eachOf(walk(), (item) => {
    if (item !== undefined) largest.add(item, by(item));
  });
  return { rest: largest.items[Symbol.iterator](), reach, total: largest.count };
}

/** Passes the next `most` finds of a walk to `visit`. Resolves to how many there were. */
async function pass<T>(walk: Iterator<T | undefined>, most: number, visit: (item: T) => void): Promise<number> {
  let found = 0;
  if (most === 0) return 0;
  await untilOf(walk, (item) => {
    if (item === undefined) return false;
    visit(item);
    return ++found === most;
  });
  return found;
}

async function count(walk: Iterable<unknown>): Promise<number> {
  let found = 0;
  await eachOf(walk, (item) => {
    if (item !== undefined) found++;
  });
  return found;
}
