import { isIP } from 'node:net';
import { cidrOf } from './networks.ts';
import { LONGEST_EXPIRY, LONGEST_TIMER } from '../config/scalars.ts';
import { formatDuration, parseDuration } from '../config/values.ts';

const UNIT_MS: Record<string, number> = { us: 0.001, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const FOREVER_MS = parseDuration(LONGEST_TIMER) ?? 0;

/** HAProxy's `500`, `500ms` or `2s` in milliseconds; undefined for another text. */
export function parseTime(text: string): number | undefined {
  const [, amount, unit = 'ms'] = /^(\d{1,12})(us|ms|s|m|h|d)?$/.exec(text) ?? [];
  return amount === undefined ? undefined : Math.ceil(Number(amount) * (UNIT_MS[unit] ?? 1));
}

/** nginx's `30`, which is seconds, `500ms`, `1h 30m`; undefined for another text. */
export function nginxTime(text: string): number | undefined {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const parts = text.match(/\d{1,9}(?:ms|s|m|h|d)/g);
  if (!parts || parts.join('') !== text.replaceAll(' ', '')) return undefined;
  return parts.reduce((sum, part) => sum + (parseTime(part) ?? 0), 0);
}

/** As balancer.yml spells it: 0, which is HAProxy's for ever, is the longest that there is. */
export function timer(ms: number): string {
  return ms === 0 || ms >= FOREVER_MS ? LONGEST_TIMER : formatDuration(ms);
}

/** HAProxy may count longer than Berth does. */
export function atMost(ms: number, most: string): string {
  return ms >= (parseDuration(most) ?? 0) ? most : formatDuration(ms);
}

export function expiry(ms: number): string {
  return ms === 0 ? LONGEST_EXPIRY : atMost(ms, LONGEST_EXPIRY);
}

/** How many bits of an IPv4 and of an IPv6 address count, where HAProxy says so. */
export type Prefix = { readonly ipv4?: number | undefined; readonly ipv6?: number | undefined };

/** The bits that `src` or `src,ipmask(MASK4,MASK6)` takes of an address; undefined for another sample. */
export function prefixOf(sample: string): Prefix | undefined {
  const [whole, mask4, mask6] = /^src(?:,ipmask\(([\d.]+)(?:,(\d+))?\))?$/.exec(sample) ?? [];
  if (whole === undefined) return undefined;
  const bits = (network: string, mask: string | undefined): number | undefined =>
    mask === undefined ? undefined : Number(cidrOf(`${network}/${mask}`)?.split('/')[1] ?? 0);
  const [ipv4, ipv6] = [bits('0.0.0.0', mask4), bits('::', mask6)];
  return ipv4 === 0 || ipv6 === 0 ? undefined : { ipv4, ipv6 };
}

/** `text` without those characters at its end; an expression would try from each of them anew. */
export function withoutEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** A whole number in the range; undefined for another text. */
export function parseWhole(text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** The host and the port of `HOST:PORT`, `[IPv6]:PORT`, `IPv6:PORT` or a host alone, in HAProxy's spelling. */
export function splitAddress(text: string): { readonly host: string; readonly port: string | undefined } {
  const [, bracketed, after] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return { host: bracketed, port: after };
  const colon = text.lastIndexOf(':');
  return colon < 0 ? { host: text, port: undefined } : { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

/** The address of `ADDRESS[:PORT]`; undefined for another text, and for HAProxy's `0.0.0.0`, which is none. */
export function sourceOf(text: string): string | undefined {
  const address = isIP(text) === 0 ? splitAddress(text).host : text;
  return isIP(address) !== 0 && !['0.0.0.0', '::'].includes(address) && !address.includes('%') ? address : undefined;
}

/** A name that balancer.yml takes: HAProxy's may begin with any of its characters. */
export function nameOf(name: string): string {
  return (
    name
      .replaceAll(/[^A-Za-z0-9_.:-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 128) || 'unnamed'
  );
}
