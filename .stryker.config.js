// `npm run mutants`: Stryker changes src/ in one small place at a time (a mutant), and the unit tests have to notice.
// CONTRIBUTING.md says how to run it and how to read what it says; test/mutants/run.sh says for which room.
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const room = process.env['MUTANTS_ROOM'];
const report = (extension) => `.stryker/${room}.${extension}`;

/** Files that take seconds come last, the others by size: a mutant is done with the first file that notices it. */
const SLOW = /fuzz|model|probe|leaks|timeouts|resets|state-file/;
/** Files that judge pages and memory: each would run for many mutants, and notice few. */
const BESIDE = /readme|relay-memory/;

/**
 * A room's own tests have to notice, and those that stand beside the rooms. Every other test would run too for what every
 * test loads, as the configuration: hours, and a room that only its users notice has too few tests.
 */
const judges = (file) => !BESIDE.test(file) && (file.startsWith(`${room}/`) || !file.includes('/'));
const size = (file) => statSync(new URL(`test/unit/${file}`, import.meta.url)).size;
const tests = readdirSync(new URL('test/unit/', import.meta.url), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && judges(file))
  .toSorted((a, b) => Number(SLOW.test(a)) - Number(SLOW.test(b)) || size(b) - size(a))
  .map((file) => `.build/test/unit/${file.replace(/\.ts$/, '.js')}`);

// oxlint-disable-next-line import/no-default-export -- Stryker reads the default export
export default {
  plugins: ['@stryker-mutator/tap-runner', fileURLToPath(new URL('test/mutants/texts.js', import.meta.url))],
  // A text with a space in it is for a reader: a test that repeats its words would only hinder a better wording.
  ignorers: ['texts'],

  // The sources are compiled once with all mutants in them; a mutant is switched on by the environment of its process.
  buildCommand: 'node test/mutants/compile.js',
  tsconfigFile: '', // Stryker would rewrite the paths in tsconfig.json with an API that TypeScript 7 no longer has
  testRunner: 'tap',
  tap: {
    testFiles: tests,
    nodeArgs: ['--test-reporter=tap', '--import', './test/mutants/preload.js', '-r', '{{hookFile}}', '{{testFile}}'],
    forceBail: true,
  },
  coverageAnalysis: 'perTest', // for this runner a test is a file
  ignorePatterns: ['dist', 'docs', 'deploy', 'bench', '*.log'],

  concurrency: 2,
  timeoutMS: 4_000, // beyond what the files took without a mutant
  timeoutFactor: 2,
  incremental: true,
  incrementalFile: report('incremental.json'),
  tempDirName: `.stryker/${room}`,
  reporters: ['clear-text', 'progress', 'html', 'json'],
  htmlReporter: { fileName: report('html') },
  jsonReporter: { fileName: report('json') },
  clearTextReporter: { allowColor: false, reportTests: false, reportMutants: false },
  thresholds: { high: 95, low: 85, break: null },
};
