#!/usr/bin/env node
import { Signals } from './cli/signals.ts';
import { keepYoungSmall } from './heap.ts';

const signals = new Signals().hold();
keepYoungSmall();
// The rest takes a tenth of a second to load, and more on a busy machine.
const { main } = await import('./cli/main.ts');
process.exitCode = await main(process.argv.slice(2), signals);
