import { Balancer } from '../balancer.ts';
import type { Config } from '../config/schema.ts';
import { ConfigFile } from '../config-file.ts';
import { StartError } from '../errors.ts';
import { collectGarbage } from '../heap.ts';
import { openLog, type Log } from '../log.ts';
import { probeOnread } from '../proxy/relay/probe-onread.ts';
import { eventSockets, onreadSockets } from '../proxy/relay/sockets.ts';
import type { View } from '../view.ts';
import { tellServiceManager } from './service-manager.ts';
import { MEANINGS, type Signals } from './signals.ts';

/**
 * Runs a balancer until a signal ends it: SIGTERM, SIGINT and SIGQUIT drain, the next of them ends at once, SIGHUP and
 * SIGUSR2 reload `file`. Resolves to the exit code: 0 after a drain, 1 where it could not start.
 */
export async function run(config: Config, file: string, signals: Signals): Promise<number> {
  const log = openLog(config.log);
  const fast = await probeOnread();
  if (!fast) log.tell('relay_slow');
  await closeDebugger(log);
  const balancer = new Balancer(config, log, fast ? onreadSockets : eventSockets, new ConfigFile(file));
  collectGarbage();
  tellServiceManager(process.env, log, () => usableServers(balancer));
  // Signals that came before there was a balancer are obeyed now: a reload follows the start, a stop ends it.
  const starting = balancer.start();
  const stopped = new Promise<void>((resolve) => {
    signals.hear((signal) => {
      switch (MEANINGS[signal]) {
        case 'stop':
          return void balancer.stop(signal).then(resolve);
        case 'reload':
          return void balancer.reload();
        case 'nothing':
          return log.tell('signal_ignored', { signal });
      }
    });
  });
  try {
    // A signal ends a start that waits for names.
    await Promise.race([starting, stopped]);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.tell('start_failed', { code: error.code, reason: error.message });
    await log.close();
    process.stderr.write(`berth: ${error.message}\n`);
    return 1;
  }
  await stopped;
  await log.close();
  return 0;
}

function usableServers({ backends }: View): string {
  const servers = backends.flatMap((backend) => backend.servers);
  return `${servers.filter(({ usable }) => usable).length} of ${servers.length} servers are usable`;
}

/** A SIGUSR1 that came before Berth's first line ran has opened Node's debugger to everybody on this machine. */
async function closeDebugger(log: Log): Promise<void> {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS']].join(' ');
  if (!process.features.inspector || /--inspect(-brk|-wait)?(=|\s|$)/.test(flags)) return;
  const inspector = await import('node:inspector');
  if (inspector.url() === undefined) return;
  inspector.close();
  log.tell('debugger_closed');
}
