import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Config } from './config/schema.ts';
import type { Level } from './events.ts';
import { pretty } from './pretty.ts';

/** Who reads the log, as far as can be known. */
export type Readership = {
  readonly terminal: boolean;
  /** journald, which reads a line's priority from its beginning. */
  readonly journal: boolean;
  readonly colours: boolean;
};

/** What becomes of a line of JSON on its way out. */
export type Form = (line: string, level: Level) => string;

/** Priorities of syslog, as sd-daemon(3) has them at the beginning of a line. */
const PRIORITIES: Readonly<Record<Level, number>> = { trace: 7, debug: 7, info: 6, warn: 4, error: 3, fatal: 2 };

/** Who reads the descriptor `fd`. */
export function readershipOf(fd: number, env: NodeJS.ProcessEnv): Readership {
  const terminal = isatty(fd);
  const colours = terminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return { terminal, journal: isJournal(fd, env['JOURNAL_STREAM']), colours };
}

/**
 * Whether `fd` is the very stream that systemd has named: the variable is inherited by programs whose output goes
 * elsewhere, so it says nothing by itself (systemd.exec(5), $JOURNAL_STREAM).
 */
function isJournal(fd: number, stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** How lines are written; undefined where they stay as they are. Every form is one line. */
export function formOf(format: Config['log']['format'], { terminal, journal, colours }: Readership): Form | undefined {
  const forPeople = format === 'pretty' || (format === 'auto' && terminal);
  if (!forPeople && !journal) return undefined;
  return (line, level) => {
    const text = forPeople ? `${pretty(line.trimEnd(), colours)}\n` : line;
    return journal ? `<${PRIORITIES[level]}>${text}` : text;
  };
}
