import { pino, stdTimeFunctions, type Logger } from 'pino';
import type { Config } from './config/schema.ts';
import { Outlet } from './outlet.ts';
import { standardOutput } from './standard-output.ts';

export type Log = Logger & { readonly outlet: Outlet; close(): Promise<void> };

/** JSON lines on standard output. `close` writes the lines that are left. */
export function openLog({ level }: Config['log']): Log {
  const outlet = new Outlet(standardOutput(), (count) => {
    const msg = 'lines of the log were dropped: standard output took no more';
    return `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), count, msg })}\n`;
  });
  const logger = pino(
    { level, base: null, timestamp: isoTime(), formatters: { level: (label) => ({ level: label }) } },
    outlet,
  );
  return Object.assign(logger, { outlet, close: () => outlet.close() });
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
