#!/usr/bin/env node
import { main } from './cli/main.ts';

// `berth schema | head`: a reader that closes the pipe has seen enough, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await main(process.argv.slice(2));
