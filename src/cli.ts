#!/usr/bin/env node
import { Signals } from './cli/signals.ts';

const signals = new Signals().hold();
// The rest takes a tenth of a second to load, and more on a busy machine.
const { main } = await import('./cli/main.ts');
process.exitCode = await main(process.argv.slice(2), signals);
