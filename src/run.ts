import { Balancer } from './balancer.ts';
import { loadConfig } from './config/load.ts';
import { formatProblem } from './config/locate.ts';
import type { Config } from './config/schema.ts';
import { StartError } from './errors.ts';
import { openLog } from './log.ts';
import { eventSockets, onreadSockets, probeOnread } from './proxy/sockets.ts';

/**
 * Runs a balancer until a signal ends it: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads `file`. Resolves
 * to the exit code: 0 after a drain, 1 where it could not start.
 */
export async function run(config: Config, file: string): Promise<number> {
  const log = openLog(config.log);
  const fast = await probeOnread();
  if (!fast) log.warn('this Node cannot read sockets into buffers of ours; relaying the slower way');
  let busy: Promise<unknown> = Promise.resolve();
  const reload = (): Promise<readonly string[]> => {
    // One after another: each compares with what the one before it has left.
    const next = busy.then(() => load(balancer, file));
    busy = next;
    return next;
  };
  const balancer: Balancer = new Balancer(config, log, fast ? onreadSockets : eventSockets, reload);
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => void balancer.stop(signal).then(resolve));
    }
  });
  process.on('SIGHUP', () => void reload());
  const starting = balancer.start();
  busy = starting.catch(() => {});
  try {
    await starting;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.fatal({ code: error.code }, error.message);
    await log.close();
    process.stderr.write(`berth: ${error.message}\n`);
    return 1;
  }
  await stopped;
  await log.close();
  return 0;
}

/** Resolves to the problems that kept the old configuration in force. */
async function load(balancer: Balancer, file: string): Promise<readonly string[]> {
  if (balancer.stage !== 'running') return [`it is ${balancer.stage}`];
  const loaded = loadConfig(file);
  let problems: readonly string[] = [];
  if (loaded.kind === 'problems') problems = loaded.problems.map(formatProblem);
  else {
    try {
      await balancer.apply(loaded.config);
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      problems = [error.message];
    }
  }
  balancer.reloaded(problems);
  return problems;
}
