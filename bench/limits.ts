/** How much the system lets a process have. */
import { readFileSync } from 'node:fs';

/** Descriptors of a balancer beside two a connection. */
const OTHER_FILES = 500;

/** The most connections that a process which this one starts can have. */
export function mostConnections(): number {
  const line = readFileSync('/proc/self/limits', 'latin1')
    .split('\n')
    .find((each) => each.startsWith('Max open files'));
  const [, hard] = /(\d+)\s+files/.exec(line ?? '') ?? [];
  return Math.floor((Number(hard ?? 1_024) - OTHER_FILES) / 2);
}
