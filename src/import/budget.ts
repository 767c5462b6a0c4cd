import type { Fault } from './words.ts';

/** What a file may come to, once what it says in one line has been read wherever the line holds. */
const MOST_STEPS = 200_000;

/**
 * Counts what a line makes more of than the line itself: a rule of `defaults` for each section, a list for each rule
 * that names it, a port of a range. A file that makes too much of little is not read to the end.
 */
export class Budget {
  #spent = 0;
  #fault: Fault | undefined;

  /** Whether there is enough left for `count` steps, which line `line` asks for. */
  spend(count: number, line: number): boolean {
    this.#spent += count;
    if (this.#spent > MOST_STEPS) {
      const message = `up to here the file comes to more than ${MOST_STEPS} settings, ports and entries of lists, each
counted wherever it holds: more than import reads`.replace('\n', ' ');
      this.#fault ??= { line, message };
    }
    return this.#fault === undefined;
  }

  get spent(): number {
    return this.#spent;
  }

  /** Why the file is not read to the end. */
  get fault(): Fault | undefined {
    return this.#fault;
  }
}
