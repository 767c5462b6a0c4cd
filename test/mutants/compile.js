/**
 * Compiles the sources with the mutants in them. The compiled tests are collected instead of run, and their properties
 * run less often, since they run for hundreds of mutants; the seed is fixed, so that two runs agree.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const RUNS = 30;
const collect = pathToFileURL('test/mutants/collect.js').href;

execFileSync('tsc', { stdio: 'inherit' });
for (const name of readdirSync('.build/test', { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.js')) continue;
  const file = `.build/test/${name}`;
  const changed = readFileSync(file, 'utf8')
    .replace(/ from 'node:test'/, ` from '${collect}'`)
    .replace(/^import \* as fc .*/m, `$& fc.configureGlobal({ seed: 1, numRuns: ${RUNS} });`)
    .replace(/\bnumRuns: ([\d_]+)/g, (_, runs) => `numRuns: ${Math.min(RUNS, Number(runs.replaceAll('_', '')))}`);
  writeFileSync(file, changed);
}
