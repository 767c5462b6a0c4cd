/** Numbers as a person reads them, short and without a space, so that `awk` finds each in its column. */

/** What stands for a value that is not known. */
export const UNKNOWN = '-';

const SCALE = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Decimal units, as docker has them: `999B`, `1.2kB`, `45.3MB`, `120GB`. */
export function bytes(value: unknown): string {
  if (!isNumber(value)) return UNKNOWN;
  let [scaled, step] = [value, 0];
  // 999,950 would round to 1000.0 kB.
  while (scaled >= 999.95 && step < SCALE.length - 1) [scaled, step] = [scaled / 1000, step + 1];
  const digits = step === 0 || scaled >= 99.95 ? 0 : 1;
  return `${scaled.toFixed(digits)}${SCALE[step] ?? ''}`;
}

/** `12.3MB/s`. */
export function byteRate(value: unknown): string {
  return isNumber(value) ? `${bytes(value)}/s` : UNKNOWN;
}

/** A count, or an average of counts: `7`, `0.3`, `1200`. */
export function count(value: unknown): string {
  if (!isNumber(value)) return UNKNOWN;
  return Number.isInteger(value) || value >= 99.95 || value < 0.05 ? value.toFixed(0) : value.toFixed(1);
}

const UNITS = [
  { unit: 'd', seconds: 86_400 },
  { unit: 'h', seconds: 3_600 },
  { unit: 'm', seconds: 60 },
  { unit: 's', seconds: 1 },
] as const;

/** The two largest units: `120ms`, `4.2s`, `45s`, `3m07s`, `2h05m`, `12d03h`. */
export function duration(ms: unknown): string {
  if (!isNumber(ms)) return UNKNOWN;
  if (ms < 999.5) return `${ms.toFixed(ms > 0 && ms < 9.95 ? 1 : 0)}ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const first = UNITS.findIndex((one) => seconds >= one.seconds);
  const [large, small] = [UNITS[first], UNITS[first + 1]];
  if (!large || !small) return `${seconds}s`;
  const rest = Math.floor((seconds % large.seconds) / small.seconds);
  return `${Math.floor(seconds / large.seconds)}${large.unit}${String(rest).padStart(2, '0')}${small.unit}`;
}

/** How long ago a time of the balancer's was, by its own clock: that of whoever asks may differ. */
export function since(at: unknown, now: unknown): string {
  const [then, current] = [Date.parse(String(at)), Date.parse(String(now))];
  return Number.isNaN(then) ? UNKNOWN : duration(Math.max(0, (Number.isNaN(current) ? Date.now() : current) - then));
}

/** `1 connection`, `3 connections`. */
export function counted(value: unknown, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
