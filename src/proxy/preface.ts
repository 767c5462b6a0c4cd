import type { Relay } from './relay.ts';

/** Still undecided when the time was up, or when the client said that it has finished, or went away. */
export type Undecided = 'timeout' | 'left';

/**
 * Shows the client's first bytes to `look`, more of them each time, until it decides (anything but undefined). The bytes
 * stay where they are; `relay.skip` drops those that were for Berth. `look` must decide within a bounded number of bytes.
 */
export function peek<T extends object>(
  relay: Relay,
  look: (bytes: Buffer) => T | undefined,
  deadlineMs: number,
): Promise<T | Undecided> {
  return new Promise((resolve) => {
    const settle = (outcome: T | Undecided): void => {
      clearTimeout(timer);
      relay.onEarly(undefined);
      relay.onClientLost(undefined);
      resolve(outcome);
    };
    const timer = setTimeout(() => settle('timeout'), Math.max(0, deadlineMs - performance.now()));
    const consider = (): void => {
      const decided = look(relay.early);
      if (decided) settle(decided);
      else if (relay.clientFinished || relay.end !== undefined) settle('left');
    };
    relay.onEarly(consider);
    relay.onClientLost(() => settle('left'));
    consider();
  });
}
