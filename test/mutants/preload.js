/** A test file that a mutant keeps from being loaded has noticed the mutant; Stryker waits for TAP to say so. */
import { writeSync } from 'node:fs';

process.on('exit', (code) => {
  if (code !== 0) writeSync(1, `not ok 999999 - left with ${code}\n`);
});
