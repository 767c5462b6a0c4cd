import { readdirSync, readFileSync } from 'node:fs';

/** A client's socket and a server's. */
const PER_CONNECTION = 2;
/** Kept free for checks, scrapes, names, files and the moments in which one socket replaces another. */
const RESERVE = 32;

/** How many files this process may have open (Node raises the soft limit to the hard one as it starts). */
export function openFileLimit(limits: string = readFileSync('/proc/self/limits', 'utf8')): number {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft);
}

/** How many it has open. */
export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

/** How many connections fit below the limit. libuv drops what comes above it in silence, so Berth stops before. */
export function connectionCapacity(limit: number, open: number, servers: number): number {
  return Math.max(0, Math.floor((limit - open - servers - RESERVE) / PER_CONNECTION));
}
