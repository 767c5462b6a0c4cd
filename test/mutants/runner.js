/**
 * Stryker's test runner for this project: a mutant is switched on in a process that has loaded all the tests, and the
 * tests that reach it are called until one fails. A process for each mutant and file (Stryker's tap runner) takes ten
 * times as long: most of its time goes to loading.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { mock } from 'node:test';
import { pathToFileURL } from 'node:url';
import { INSTRUMENTER_CONSTANTS } from '@stryker-mutator/api/core';
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import { determineHitLimitReached, toMutantRunResult } from '@stryker-mutator/api/test-runner';
import { judges } from './judges.js';

const { NAMESPACE } = INSTRUMENTER_CONSTANTS;
const stryker = (globalThis[NAMESPACE] ??= {});
const { constructor: MockTracker } = Object.getPrototypeOf(mock);
const HANGS = 'the test hangs';
/** The ids of the tests, written by the process that ran them without a mutant. */
const QUICKEST_FIRST = '.build/quickest-first.json';
/** Of the test that runs: called with what nobody caught. */
let fail = () => {};
for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, (error) => fail(error));

// The tests' own timers are mocked now and then.
const { setInterval, clearInterval } = globalThis;
/**
 * A test hangs when the event loop has been free so often, at this distance, and the test has not ended: a busy machine
 * slows the ticks down too. The run without a mutant is more patient.
 */
const TICK_MS = 100;
const MOST_TICKS = { withoutMutant: 300, withMutant: 25 };

/** With the mutants in the source these take a minute, and for each mutant anew. */
const TOO_SLOW = /a byte at a time, is understood, and not before the last byte$/;

/** The error that a test ended with; undefined where it passed. */
async function failureOf({ run }, mostTicks = MOST_TICKS.withMutant) {
  let ticks = 0;
  const watch = setInterval(() => ++ticks > mostTicks && fail(new Error(HANGS)), TICK_MS);
  const afters = [];
  const context = {
    mock: new MockTracker(),
    after: (end) => void afters.push(end),
    diagnostic() {},
    test: (...args) => args.at(-1)(context),
  };
  const uncaught = new Promise((_, reject) => (fail = reject));
  uncaught.catch(() => {});
  let failure;
  const note = (error) => (failure ??= error ?? new Error('failed with nothing'));
  await Promise.race([uncaught, (async () => run(context))()]).catch(note);
  for (const end of afters) await Promise.race([uncaught, (async () => end(context))()]).catch(note);
  context.mock.reset();
  mock.reset();
  mock.timers.reset();
  // What comes late comes before the next test.
  await new Promise((resolve) => setImmediate(resolve));
  fail = () => {};
  clearInterval(watch);
  return failure;
}

class Runner {
  #tests;
  /** Whether a mutant has left this process so that a test fails without it. */
  #isSpoilt = false;
  #runs = 0;

  capabilities() {
    return { reloadEnvironment: false };
  }

  /** Imports the test files where that is not done: a static mutant is switched on before. */
  async #load() {
    if (this.#tests) return;
    globalThis.collectedTests = [];
    this.#tests = [];
    for (const file of judges(process.env.MUTANTS_ROOM)) {
      await import(pathToFileURL(file).href);
      for (const one of globalThis.collectedTests.splice(0))
        if (!TOO_SLOW.test(one.name)) this.#tests.push({ ...one, file, id: `${file}: ${one.name}` });
    }
  }

  async dryRun() {
    await this.#load();
    const tests = [];
    for (const test of this.#tests) {
      stryker.currentTestId = test.id;
      const startedMs = performance.now();
      const patiently = (one) => failureOf(one, MOST_TICKS.withoutMutant);
      const failure = (await patiently(test)) && (await patiently(test)); // a second chance, as under a mutant
      tests.push(report(test, failure, performance.now() - startedMs));
    }
    stryker.currentTestId = undefined;
    tests.sort((a, b) => a.timeSpentMs - b.timeSpentMs);
    writeFileSync(QUICKEST_FIRST, JSON.stringify(tests.map(({ id }) => id)));
    return { status: 'complete', tests, mutantCoverage: stryker.mutantCoverage };
  }

  async mutantRun({ activeMutant, mutantActivation, testFilter, hitLimit }) {
    if (this.#isSpoilt) throw new Error('spoilt by the mutant before'); // Stryker repeats it in a new process
    this.#runs++;
    const tests = [];
    try {
      stryker.hitLimit = hitLimit;
      stryker.hitCount = hitLimit === undefined ? undefined : 0;
      if (mutantActivation === 'static') stryker.activeMutant = activeMutant.id;
      await this.#load();
      stryker.activeMutant = activeMutant.id;
      const order = JSON.parse(readFileSync(QUICKEST_FIRST, 'utf8'));
      const place = new Map(order.map((id, i) => [id, i]));
      for (const test of this.#tests.toSorted((a, b) => place.get(a.id) - place.get(b.id))) {
        if (testFilter && !testFilter.includes(test.id)) continue;
        const failure = await failureOf(test);
        const endless = determineHitLimitReached(stryker.hitCount, hitLimit);
        if (endless) return endless;
        this.#isSpoilt ||= failure?.message === HANGS; // what it waits for may still come
        if (!failure || !(await this.#isToBlame(test, activeMutant, mutantActivation))) {
          tests.push(report(test, undefined, 0));
          continue;
        }
        tests.push(report(test, failure, 0));
        break;
      }
    } catch (error) {
      if (this.#tests && this.#tests.length > 0 && mutantActivation !== 'static') throw error;
      tests.push(report({ id: 'load', name: 'load', file: '' }, error, 0));
    } finally {
      stryker.activeMutant = undefined;
      stryker.hitCount = undefined;
    }
    return toMutantRunResult({ status: 'complete', tests });
  }

  /** Whether a test that failed under a mutant passes without it, and fails under it again. */
  async #isToBlame(test, activeMutant, mutantActivation) {
    if (this.#isSpoilt || mutantActivation === 'static') return true;
    stryker.activeMutant = undefined;
    if (await failureOf(test)) {
      // As the first in its process it has spoilt the process itself; else a mutant before may have done that.
      if (this.#runs > 1) throw new Error('spoilt by a mutant before');
      this.#isSpoilt = true;
      return true;
    }
    stryker.activeMutant = activeMutant.id;
    return (await failureOf(test)) !== undefined;
  }
}

function report({ id, name, file }, failure, timeSpentMs) {
  const one = { id, name, fileName: file, timeSpentMs };
  return failure === undefined
    ? { ...one, status: 0 }
    : { ...one, status: 1, failureMessage: String(failure?.stack ?? failure) };
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'berth', Runner)];
