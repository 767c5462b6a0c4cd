import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { whole } from './parameters.ts';

/** How long a walk holds the event loop before others have their turn. */
const TURN_MS = 2;
/** Steps between two looks at the clock. */
const STEPS = 128;

/** The query parameters of every list. */
export const pagingQuery = {
  page: whole(1, 1_000_000).default(1).describe('Which page, from 1 on'),
  perPage: whole(1, 1_000).default(100).describe('Items on a page'),
};

export type Paging = { readonly page: number; readonly perPage: number };

/** The answer of a list of such items. */
export const listOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item),
    page: z.int().describe('This page'),
    perPage: z.int().describe('Most items on a page'),
    total: z.int().describe('Items in all'),
    pages: z.int().describe('Pages in all'),
  });

export type Page<T> = Paging & { readonly items: T[]; readonly total: number; readonly pages: number };

/** Calls `visit` with each, in slices. `steps`: how many there are between two looks at the clock. */
export async function eachOf<T>(all: Iterable<T>, visit: (one: T) => void, steps = STEPS): Promise<void> {
  let done = 0;
  let turnMs = performance.now();
  for (const one of all) {
    visit(one);
    if (++done % steps !== 0 || performance.now() - turnMs < TURN_MS) continue;
    await nextTurn();
    turnMs = performance.now();
  }
}

/**
 * One page of what a walk yields. The walk is in slices, between which the event loop goes on. Where `total` says how
 * many there are in all, the walk ends with the page; else it goes to its end to count them. A walk yields undefined
 * for a step that finds nothing, so that a rare find does not hold the loop either.
 */
export async function pageOf<T>(
  walk: Iterable<T | undefined>,
  { page, perPage }: Paging,
  total?: number,
): Promise<Page<T>> {
  const [from, to] = [(page - 1) * perPage, page * perPage];
  const items: T[] = [];
  let found = 0;
  let steps = 0;
  let turnMs = performance.now();
  for (const item of walk) {
    if (item !== undefined) {
      if (found >= from && found < to) items.push(item);
      found++;
      if (total !== undefined && found >= to) break;
    }
    if (++steps % STEPS !== 0 || performance.now() - turnMs < TURN_MS) continue;
    await nextTurn();
    turnMs = performance.now();
  }
  const all = total ?? found;
  return { items, page, perPage, total: all, pages: Math.ceil(all / perPage) };
}
