import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Keeps the young generation at its first size, 1 MB, while the program loads: V8 doubles it for whatever survives,
 * which of a program is nearly all, and would keep up to 16 MB of it resident.
 */
export function keepYoungSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/**
 * To be called when the program is loaded: collects what loading has left behind, of which Node would keep 12 MB since
 * it collects garbage only when memory runs short. From then on the young generation may grow. Half a minute after a
 * collection in which nothing happens Node gives memory back to the system.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
  // V8's own.
  setFlagsFromString('--semi-space-growth-factor=2');
}
