import { destination, pino, stdTimeFunctions, type Logger } from 'pino';
import type { Config } from './config/schema.ts';

export type Log = Logger & { close(): Promise<void> };

/** Lines gather until there are this many bytes, or until the next flush. */
const BATCH_BYTES = 15 << 10;
const FLUSH_MS = 100;
/** A reader of standard output that has stopped reading costs lines, not memory and not connections. */
const MOST_WAITING_BYTES = 16 << 20;

/** How long the end of the process waits for a reader of standard output that has stopped reading. */
const PATIENCE_MS = 5_000;

/** JSON lines on standard output, written in batches by a thread of libuv. `close` writes the lines that are left. */
export function openLog({ level }: Config['log']): Log {
  const out = destination({ fd: 1, sync: false, minLength: BATCH_BYTES, maxLength: MOST_WAITING_BYTES });
  // Nobody reads standard output any more: there is nowhere to say so, and connections must go on.
  let gone = false;
  out.on('error', () => (gone = true));
  const flush = setInterval(() => out.flush(), FLUSH_MS).unref();
  const logger = pino(
    { level, base: null, timestamp: isoTime(), formatters: { level: (label) => ({ level: label }) } },
    out,
  );
  return Object.assign(logger, {
    close: () => {
      clearInterval(flush);
      // A check that is under way may end later and log its result; a closed destination would throw.
      logger.level = 'silent';
      // pino makes `end` do nothing once the pipe is broken.
      if (gone) return Promise.resolve();
      return new Promise<void>((resolve) => {
        setTimeout(() => giveUp(), PATIENCE_MS).unref();
        out.once('close', resolve);
        out.once('error', () => resolve());
        out.end();
      });
    },
  });
}

/** The time as pino writes it, made once a millisecond: a busy balancer has several lines in each. */
function isoTime(): () => string {
  let [atMs, text] = [0, ''];
  return () => {
    const nowMs = Date.now();
    if (nowMs !== atMs) [atMs, text] = [nowMs, stdTimeFunctions.isoTime()];
    return text;
  };
}

/** A write that nobody reads blocks a thread of libuv, and every way of ending but SIGKILL waits for that thread. */
function giveUp(): void {
  process.kill(process.pid, 'SIGKILL');
}
