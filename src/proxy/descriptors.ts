import { readdirSync, readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { StartError } from '../errors.ts';

/** The client's socket and the server's. */
const PER_CONNECTION = 2;
/** Kept free for checks, scrapes, names, files and the moments in which one socket replaces another. */
const RESERVE = 32;

/** What is taken for the limit where no /proc tells it, as in a chroot: fewer are rare. */
const USUAL_LIMIT = 1_024;
/** What a process has open at its start, about. */
const USUAL_FILES = 32;

/** How many files this process may have open (Node raises the soft limit to the hard one as it starts). */
function openFileLimit(): number {
  const soft = toldBy(() => /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
  return soft === 'unlimited' ? Infinity : Number(soft ?? USUAL_LIMIT);
}

/** How many files this process has open. */
export function openFiles(): number {
  return toldBy(() => readdirSync('/proc/self/fd').length) ?? USUAL_FILES;
}

/** Undefined where this process sees no /proc. */
function toldBy<T>(proc: () => T): T | undefined {
  try {
    return proc();
  } catch {
    return undefined;
  }
}

/**
 * How many connections fit below the limit, beside `otherFiles`: libuv closes what comes above the limit in silence, so
 * Berth stops before. Throws a StartError if no connection fits.
 */
export function connectionCapacity({ frontends, backends }: Config, otherFiles: number): number {
  const binds = Object.values(frontends).reduce((sum, { bind }) => sum + bind.length, 0);
  const servers = Object.values(backends).reduce((sum, backend) => sum + Object.keys(backend.servers).length, 0);
  const limit = openFileLimit();
  const most = Math.floor((limit - otherFiles - binds - servers - RESERVE) / PER_CONNECTION);
  if (most > 0) return most;
  const message = `the open-file limit of ${limit} leaves no room for connections; raise it (ulimit -n, LimitNOFILE=)`;
  throw new StartError('EMFILE', message);
}
