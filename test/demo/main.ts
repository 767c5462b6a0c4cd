/**
 * `npm run demo`: Berth in front of two real registry nodes, a push, a pull, a node that dies, a push again. Every
 * figure it prints is measured on this run: from Berth's log and metrics, the nodes' logs and the clock.
 */
import { openWorkspace } from '../support/processes.ts';
import { Demo } from './tour.ts';
import { Trouble } from './trouble.ts';

const HELP = `Usage: npm run demo [-- [--trouble] [--once]]

Starts a registry cluster with Berth in front of it in a temporary directory, pushes and pulls an image, kills a node,
pushes again, and stays up until Ctrl-C. Everything is on loopback, and everything is removed at the end.

  --once      end after the last step instead of staying up
  --trouble   instead of all that: a cluster with a slow node, a node in maint and a client that hammers, to be looked
              at with Berth's commands
`;

/** 2 when the call itself is wrong, undefined when there is work to do. */
function readArguments(args: string[]): { exitCode: number } | { once: boolean; trouble: boolean } {
  const unknown = args.find((arg) => !['--once', '--trouble', '--help', '-h'].includes(arg));
  if (unknown !== undefined) {
    process.stderr.write(`demo: unknown argument ${JSON.stringify(unknown)}; there are --once, --trouble and --help\n`);
    return { exitCode: 2 };
  }
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return { exitCode: 0 };
  }
  return { once: args.includes('--once'), trouble: args.includes('--trouble') };
}

async function main(): Promise<number> {
  const call = readArguments(process.argv.slice(2));
  if ('exitCode' in call) return call.exitCode;
  process.stdout.on('error', () => process.exit(1)); // its reader has gone, as in `| head`; the workspace sees to the rest
  const workspace = openWorkspace({ handleSignals: false });
  const demo = call.trouble ? new Trouble(workspace) : new Demo(workspace);
  // `on`, not `once`: under npm one Ctrl-C arrives twice, from the terminal and from npm.
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('interrupted'));
  });
  let exitCode = 0;
  try {
    const invite = await Promise.race([demo.run(), interrupted]);
    if (invite === 'interrupted') exitCode = 130;
    else if (!call.once) {
      await invite();
      await interrupted;
    }
  } catch (error) {
    exitCode = 1;
    demo.screen.say(`\n✗ ${(error as Error).message}`);
    const log = demo.berth?.lines.slice(-8).map((line) => JSON.stringify(line));
    if (log) demo.screen.say(`\nThe end of Berth's log:\n${log.join('\n')}`);
  }
  demo.screen.end('\nEnding what was started and removing its directory');
  await workspace.close();
  workspace.closeNow(); // what an interrupted step may have written since
  return exitCode;
}

process.exit(await main());
