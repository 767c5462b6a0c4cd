/** Numbers and times as the page writes them: short, and as wide as before where a figure changes. */

/** What stands where a value is not known. */
export const UNKNOWN = '–';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

type Maybe = number | null | undefined;

/** `1,234`, from ten thousand on `12.3k`. */
export function count(value: Maybe): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 10_000) return Math.round(value).toLocaleString('en');
  return scaled(value, ['', 'k', 'M', 'G'], '');
}

/** A count a second: `0.4`, `12`. */
export function perSecond(value: Maybe): string {
  if (value === null || value === undefined) return UNKNOWN;
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

/** `980 B`, `1.2 kB`: decimal, as networks count. */
export function bytes(value: Maybe): string {
  if (value === null || value === undefined) return UNKNOWN;
  return scaled(value, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'], ' ');
}

export function bytesPerSecond(value: Maybe): string {
  return value === null || value === undefined ? UNKNOWN : `${bytes(value)}/s`;
}

function scaled(value: number, units: readonly string[], between: string): string {
  let [rest, unit] = [value, 0];
  // Not 1000: 999.6 is written as 1000.
  while (rest >= 999.5 && unit < units.length - 1) [rest, unit] = [rest / 1000, unit + 1];
  const digits = unit === 0 || rest >= 99.5 ? 0 : 1;
  return `${rest.toFixed(digits)}${between}${units[unit] ?? ''}`;
}

/** `8 s`, `4 m 12 s`, `3 h 20 m`, `5 d 2 h`; in short their first part. */
export function duration(ms: Maybe): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  const left = Math.max(0, ms);
  if (left < MINUTE_MS) return `${Math.floor(left / 1000)} s`;
  if (left < HOUR_MS) return `${Math.floor(left / MINUTE_MS)} m ${Math.floor((left % MINUTE_MS) / 1000)} s`;
  if (left < DAY_MS) return `${Math.floor(left / HOUR_MS)} h ${Math.floor((left % HOUR_MS) / MINUTE_MS)} m`;
  return `${Math.floor(left / DAY_MS)} d ${Math.floor((left % DAY_MS) / HOUR_MS)} h`;
}

export function shortDuration(ms: Maybe): string {
  return duration(ms).split(' ', 2).join(' ');
}

export function milliseconds(value: Maybe): string {
  if (value === null || value === undefined) return UNKNOWN;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** The time of the day here, with the date where that is not the day of `now`. */
export function clock(iso: string | undefined, now = new Date()): string {
  const at = new Date(iso ?? Number.NaN);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const sameDay = at.toDateString() === now.toDateString();
  return sameDay ? time : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** `1 client`, `3 clients`. */
export function plural(value: number, noun: string): string {
  return `${value.toLocaleString('en')} ${noun}${value === 1 ? '' : 's'}`;
}
