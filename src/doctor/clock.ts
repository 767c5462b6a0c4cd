import type { Reply } from './ask.ts';
import { finding, type Finding } from './findings.ts';

const WORST_SKEW_MS = 5_000;

/** Compares the node's clock, as its Date header (RFC 9110 section 6.6.1) shows it, with the clock of this machine. */
export function judgeClock(label: string, { headers, atMs }: Reply): Finding[] {
  const saidMs = Date.parse(headers.date ?? '');
  const skewMs = saidMs - atMs;
  // The header leaves out the fraction of a second, so a right clock seems up to one second late, half of it on
  // average.
  if (Number.isNaN(skewMs) || Math.abs(skewMs + 500) <= WORST_SKEW_MS + 500) return [];
  const seconds = Math.round(Math.abs(skewMs) / 1_000);
  return [finding('CLOCK', label, `its clock is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead of'} this machine's`)];
}
