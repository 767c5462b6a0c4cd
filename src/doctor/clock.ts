import type { Answer } from './ask.ts';
import { finding, type Finding } from './findings.ts';

const WORST_SKEW_MS = 5_000;

/** By the Date header, whose seconds are whole. */
export function judgeClock(label: string, { headers, atMs }: Answer): Finding[] {
  const saidMs = Date.parse(headers.date ?? '');
  const skewMs = saidMs - atMs;
  // The header is cut to the second: a clock that is right seems to be late by up to one.
  if (Number.isNaN(skewMs) || Math.abs(skewMs + 500) <= WORST_SKEW_MS + 500) return [];
  const seconds = Math.round(Math.abs(skewMs) / 1_000);
  return [finding('CLOCK', label, `its clock is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead of'} this machine's`)];
}
