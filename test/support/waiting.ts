/** Waiting for what should happen, with an end to the patience. */
import { clearTimeout, setTimeout } from 'node:timers';

/** No test waits longer than this for something that should happen. */
export const PATIENCE_MS = 30_000;

/** What is worth waiting for: undefined and false mean that it is not there yet. */
type Found<T> = Exclude<T, undefined | false>;

/** What is waited for, for the failure; a function says how it stands when the patience has ended. */
type What = string | (() => string);
const inVain = (what: What): Error => new Error(`waited in vain for ${typeof what === 'string' ? what : what()}`);

/** `promise`, or a failure that says what was waited for. */
export async function within<T>(promise: Promise<T>, what: What, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(inVain(what)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks every few milliseconds until there is something to see: for what nobody announces. */
export async function eventually<T>(what: What, look: () => Promise<T> | T, ms = PATIENCE_MS): Promise<Found<T>> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found as Found<T>;
    if (Date.now() > deadline) throw inVain(what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Something that tells when it changes, so that who waits for it need not look in between. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Has everybody look again. */
  tell(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Looks again with each change until there is something to see; in vain where no change can come any more. */
  async until<T>(what: What, look: () => T, over: () => boolean): Promise<Found<T>> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found as Found<T>;
      if (over() || Date.now() > deadline) throw inVain(what);
      await this.#next();
    }
  }

  /** Resolves with the next change, or after a second. */
  #next(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, 1_000);
      this.#waiting.add(wake);
    });
  }
}
