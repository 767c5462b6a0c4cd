import { printable } from './config/locate.ts';

/** As wide as most messages, so that what follows them stands below each other. */
const MSG_WIDTH = 16;
const LEVEL_WIDTH = 5;

/** SGR parameters of ECMA-48, which terminals take for colours. */
const COLOURS: Readonly<Record<string, string>> = { debug: '2', info: '32', warn: '33', error: '31', fatal: '1;31' };
const FAINT = '2';

/**
 * A line of the log (JSON) for people: time of day, level, words, then the fields. Nothing that a stranger has written
 * reaches the terminal but as printable characters. Any other text is made printable and is else as it was.
 */
export function pretty(line: string, colours: boolean): string {
  const paint = (sgr: string | undefined, text: string): string =>
    colours && sgr !== undefined ? `\u001b[${sgr}m${text}\u001b[0m` : text;
  const { level, time, event, msg, ...fields } = parsed(line) ?? {};
  if (typeof level !== 'string' || typeof time !== 'string') return printable(line);
  const words = typeof msg === 'string' ? printable(msg) : String(event);
  const shown = Object.entries(fields).map(
    ([name, value]) => `${paint(FAINT, `${printable(name)}=`)}${spelled(value)}`,
  );
  const head = [
    paint(FAINT, timeOfDay(time)),
    paint(COLOURS[level], printable(level).toUpperCase().padEnd(LEVEL_WIDTH)),
    shown.length === 0 ? words : words.padEnd(MSG_WIDTH),
  ];
  return [...head, ...shown].join(' ');
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** In this machine's time zone, `08:05:21.930`. */
function timeOfDay(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return printable(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  const ms = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** A value by itself where it is one word, else as JSON, so that its end is seen. */
function spelled(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (typeof value !== 'string') return printable(text);
  return /^[^\s"=\\\p{C}]+$/u.test(text) ? text.slice(0, 400) : printable(JSON.stringify(text));
}
