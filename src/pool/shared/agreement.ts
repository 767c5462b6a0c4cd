import type { Server } from '../server.ts';
import type { Stay } from '../stay.ts';
import { REAL_CLOCK, type Clock } from './link.ts';

/**
 * Waits until the client of `stay` may go to `server`, whose place it has, or may not any more; `first` is what
 * `stay.agree` has returned. After `leftMs`, or where nobody answers, this balancer decides alone.
 */
export async function agreement(
  stay: Pick<Stay, 'agree' | 'isBoundTo'>,
  server: Server,
  first: Promise<void>,
  leftMs: number,
  clock: Clock = REAL_CLOCK,
): Promise<{ readonly agreed: boolean; readonly tookMs: number }> {
  const startedMs = clock.now();
  let tookMs = 0;
  for (let wait: Promise<void> | undefined = first; wait && tookMs < leftMs; wait = stay.agree(server)) {
    await within(wait, leftMs - tookMs, clock);
    tookMs = clock.now() - startedMs;
    if (!stay.isBoundTo(server)) return { agreed: false, tookMs };
  }
  return { agreed: true, tookMs };
}

/** Resolves with `wait`, or after `ms`. */
export async function within(wait: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  let callOff: (() => void) | undefined;
  const late = new Promise<void>((resolve) => (callOff = clock.after(ms, resolve)));
  await Promise.race([wait, late]);
  callOff?.();
}
