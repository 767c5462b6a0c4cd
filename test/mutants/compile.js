/**
 * Compiles the sources with the mutants in them, and lowers the runs of the properties in the compiled tests, each of
 * which runs for hundreds of mutants. The seed is fixed, so that two runs agree.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const RUNS = 30;

execFileSync('tsc', { stdio: 'inherit' });
for (const name of readdirSync('.build/test/unit', { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.test.js')) continue;
  const file = `.build/test/unit/${name}`;
  const lowered = readFileSync(file, 'utf8').replace(/\bnumRuns: ([\d_]+)/g, (_, runs) => {
    return `seed: 1, numRuns: ${Math.min(RUNS, Number(runs.replaceAll('_', '')))}`;
  });
  writeFileSync(file, lowered);
}
