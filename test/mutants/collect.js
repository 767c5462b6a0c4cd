/**
 * Stands in for node:test in the compiled tests: it collects the tests of a file instead of running them, so that
 * runner.js can run each for many mutants in one process.
 */
import { mock } from 'node:test';

/** @typedef {{ name: string, run: (context: object) => unknown }} Collected */
/** @type {Collected[]} */
const tests = (globalThis.collectedTests ??= []);
const suites = [];

export function test(name, ...rest) {
  tests.push({ name: [...suites, name].join(' > '), run: rest.at(-1) });
}
export function suite(name, ...rest) {
  suites.push(name);
  rest.at(-1)();
  suites.pop();
}
export { suite as describe, test as it, mock };
/** What a file leaves behind at its end stays for the next mutant. */
export function after() {}
