// `npm run mutants`: Stryker changes src/ in one small place at a time (a mutant), and the unit tests have to notice.
// CONTRIBUTING.md says how to run it and how to read what it says; test/mutants/run.sh says for which room.
import { fileURLToPath } from 'node:url';

const room = process.env['MUTANTS_ROOM'];
const plugin = (name) => fileURLToPath(new URL(`test/mutants/${name}.js`, import.meta.url));
const report = (extension) => `.stryker/${room}.${extension}`;

// oxlint-disable-next-line import/no-default-export -- Stryker reads the default export
export default {
  plugins: [plugin('runner'), plugin('texts')],
  // A text with a space in it is for a reader: a test that repeats its words would only hinder a better wording.
  ignorers: ['texts'],

  // The sources are compiled once, with all mutants in them.
  buildCommand: 'node test/mutants/compile.js',
  tsconfigFile: '', // Stryker would rewrite the paths in tsconfig.json with an API that TypeScript 7 no longer has
  testRunner: 'berth',
  coverageAnalysis: 'perTest',
  ignorePatterns: ['dist', 'docs', 'deploy', 'bench', '*.log', '.stryker', 'reports'],

  concurrency: 2,
  timeoutMS: 30_000, // for endless loops: runner.js sees a test that waits for nothing
  timeoutFactor: 2,
  maxTestRunnerReuse: 300, // what mutants leave behind adds up
  incremental: true,
  incrementalFile: report('incremental.json'),
  tempDirName: '.stryker/tmp',
  reporters: ['clear-text', 'progress', 'html', 'json'],
  htmlReporter: { fileName: report('html') },
  jsonReporter: { fileName: report('json') },
  clearTextReporter: { allowColor: false, reportTests: false, reportMutants: false },
  thresholds: { high: 95, low: 85, break: null },
};
