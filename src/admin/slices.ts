import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long a walk holds the event loop before others have their turn. */
const TURN_MS = 2;
/** Steps between two looks at the clock. */
const STEPS = 128;

/**
 * Takes steps of a walk, in slices between which the event loop goes on, until `visit` returns true. Resolves to
 * whether it did; false: the walk has come to its end. `looks`: how many steps there are between two looks at the
 * clock.
 */
export async function untilOf<T>(walk: Iterator<T>, visit: (one: T) => boolean, looks = STEPS): Promise<boolean> {
  let turnMs = performance.now();
  for (let steps = 1; ; steps++) {
    const { done, value } = walk.next();
    if (done === true) return false;
    if (visit(value)) return true;
    if (steps % looks !== 0 || performance.now() - turnMs < TURN_MS) continue;
    await nextTurn();
    turnMs = performance.now();
  }
}

/** Calls `visit` with each, in slices. */
export async function eachOf<T>(all: Iterable<T>, visit: (one: T) => void, looks = STEPS): Promise<void> {
  const visitAll = (one: T): boolean => {
    visit(one);
    return false;
  };
  await untilOf(all[Symbol.iterator](), visitAll, looks);
}
