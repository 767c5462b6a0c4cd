/** How much work a part of Berth does, counted: a figure that does not depend on how busy the machine is. */
import { Session, type Profiler } from 'node:inspector';

/** Counts how often the blocks of compiled files run. Counts functions that run first after it has been made. */
export class Operations {
  readonly #session = new Session();
  readonly #part: string;

  /** Of the files whose path has `part` in it. */
  constructor(part: string) {
    this.#part = part;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  count(act: () => void): number {
    this.#take();
    act();
    return this.#take();
  }

  /** How much has run since it was asked last. */
  #take(): number {
    let sum = 0;
    // The answer comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }: Profiler.TakePreciseCoverageReturnType) => {
      if (error) throw error;
      for (const { url, functions } of result) {
        if (!url.includes(this.#part)) continue;
        for (const { ranges } of functions) for (const { count } of ranges) sum += count;
      }
    });
    return sum;
  }
}
