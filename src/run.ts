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
  const probing = probeOnread();
  let busy: Promise<unknown> = probing;
  const reload = (): Promise<readonly string[]> => {
    // One after another: each compares with what the one before it has left.
    const next = busy.then(() => load(balancer, file));
    busy = next;
    return next;
  };
  process.on('SIGHUP', () => void reload());
  const fast = await probing;
  if (!fast) log.warn('this Node cannot read sockets into buffers of ours; relaying the slower way');
  const balancer: Balancer = new Balancer(config, log, fast ? onreadSockets : eventSockets, reload);
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => void balancer.stop(signal).then(resolve));
    }
  });
  const starting = balancer.start();
  busy = starting.catch(() => {});
  try {
    // A signal need not wait for names that do not resolve.
    await Promise.race([starting, stopped]);
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
  let problems: readonly string[] = [];
  try {
    const loaded = loadConfig(file);
    if (loaded.kind === 'problems') problems = loaded.problems.map(formatProblem);
    else await balancer.apply(loaded.config);
  } catch (error) {
    // Whatever it is (out of descriptors, say), what runs goes on.
    problems = [error instanceof Error ? error.message : String(error)];
  }
  balancer.reloaded(problems);
  return problems;
}
