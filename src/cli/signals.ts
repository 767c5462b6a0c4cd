/** What each signal has a balancer do. SIGUSR1 is here because Node would open its debugger on it. */
export const MEANINGS = {
  SIGTERM: 'stop',
  SIGINT: 'stop',
  SIGQUIT: 'stop',
  SIGHUP: 'reload',
  SIGUSR2: 'reload',
  SIGUSR1: 'nothing',
} as const;
export type Signal = keyof typeof MEANINGS;

const ALL = Object.keys(MEANINGS) as Signal[];

/**
 * The signals that a balancer is sent. They are held from the process's first moment, so this file imports nothing:
 * whatever takes time to load is imported later. A signal without a handler ends a process, or, where the process is
 * the first of a container (pid 1), is lost.
 */
export class Signals {
  #held: Signal[] = [];
  #hear = (signal: Signal): void => void this.#held.push(signal);
  readonly #handler = (signal: NodeJS.Signals): void => this.#hear(signal as Signal);

  hold(): this {
    for (const signal of ALL) process.on(signal, this.#handler);
    return this;
  }

  /** Passes on what was held, in its order, and every later signal. */
  hear(hear: (signal: Signal) => void): void {
    this.#hear = hear;
    for (const signal of this.#held.splice(0)) hear(signal);
  }

  /** Signals do again what the system makes them do, and those that were held do it now. */
  release(): void {
    for (const signal of ALL) process.off(signal, this.#handler);
    for (const signal of this.#held.splice(0)) process.kill(process.pid, signal);
  }
}
