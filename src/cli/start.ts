import { Balancer } from '../balancer.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { StartError } from '../errors.ts';
import { openLog } from '../log.ts';
import { eventSockets, onreadSockets, probeOnread } from '../proxy/relay/sockets.ts';

/**
 * Runs a balancer until a signal ends it: SIGTERM and SIGINT drain, a second signal ends at once, SIGHUP reloads
 * `file`. Resolves to the exit code: 0 after a drain, 1 where it could not start.
 */
export async function run(config: Config, file: string): Promise<number> {
  const log = openLog(config.log);
  const probing = probeOnread();
  let hangUps = 0;
  const early = (): void => void hangUps++;
  process.on('SIGHUP', early);
  const fast = await probing;
  if (!fast) log.warn('this Node cannot read sockets into buffers of ours; relaying the slower way');
  const balancer = new Balancer(config, log, fast ? onreadSockets : eventSockets, () => loadConfig(file));
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => void balancer.stop(signal).then(resolve));
    }
  });
  process.off('SIGHUP', early).on('SIGHUP', () => void balancer.reload());
  const starting = balancer.start();
  // A SIGHUP that came before there was a balancer is answered after the start, too.
  if (hangUps > 0) void balancer.reload();
  try {
    // A signal ends a start that waits for names.
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
