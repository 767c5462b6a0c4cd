/** A log whose lines a test reads. */
import { schema, type Config } from '../../src/config/schema.ts';
import type { Readership } from '../../src/line-form.ts';
import { Log } from '../../src/log.ts';

export const NOBODY: Readership = { terminal: false, journal: false, colours: false };

/** The log of balancer.yml, its defaults included. */
export function logConfig(given: Partial<Config['log']> = {}): Config['log'] {
  return schema.shape.log.parse(given);
}

/** A log, and a way to have every line that it has written. */
export function writtenLog(
  given: Partial<Config['log']> = {},
  readership = NOBODY,
): { log: Log; lines: () => Promise<string[]> } {
  let text = '';
  const sink = (batch: string, done: () => void): void => {
    text += batch;
    done();
  };
  const log = new Log(logConfig(given), sink, readership);
  return {
    log,
    lines: async () => {
      await log.close();
      return text.split('\n').slice(0, -1);
    },
  };
}
