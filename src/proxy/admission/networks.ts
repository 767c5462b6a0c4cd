import { isIPv4 } from 'node:net';
import { ipv6Groups } from '../../pool/client-key.ts';

/** ::ffff:0:0/96 is all of IPv4. */
const MAPPED = '0'.repeat(20) + 'ffff';
const MAPPED_BITS = 96;

/**
 * Addresses as hexadecimal digits, as many as the family has, so that texts compare as addresses do. `first` ascends,
 * and no two ranges meet.
 */
type Ranges = { readonly first: readonly string[]; readonly last: readonly string[] };
type Range = readonly [first: string, last: string];

/** Networks in CIDR notation. Tens of thousands cost a connection no more than ten: a country's list has as many. */
export type Networks = {
  readonly ipv4: Ranges;
  /** In every zone, and those of a zone alone. */
  readonly ipv6: Ranges;
  readonly zones: ReadonlyMap<string, Ranges>;
};

/** `cidrs` as `isCidr` takes them. A network with a zone (`fe80::%eth0/64`) has addresses of this zone alone. */
export function networks(cidrs: readonly string[]): Networks {
  const [ipv4, ipv6, zones] = [[] as Range[], [] as Range[], new Map<string, Range[]>()];
  for (const cidr of cidrs) {
    const [, address = '', zone, prefix] = /^([^%/]*)(?:%([^/]*))?(?:\/(\d+))?$/.exec(cidr) ?? [];
    const digits = hex(address);
    const bits = Number(prefix ?? digits.length * 4);
    if (isIPv4(address)) ipv4.push(rangeOf(digits, bits));
    else if (zone !== undefined) zones.set(zone, [...(zones.get(zone) ?? []), rangeOf(digits, bits)]);
    else ipv6.push(rangeOf(digits, bits));
    // Who names a part of ::ffff:0:0/96 means IPv4 addresses; who names ::/0 does not.
    if (bits >= MAPPED_BITS && digits.startsWith(MAPPED)) ipv4.push(rangeOf(digits.slice(24), bits - MAPPED_BITS));
  }
  return { ipv4: joined(ipv4), ipv6: joined(ipv6), zones: new Map([...zones].map(([zone, of]) => [zone, joined(of)])) };
}

/** `address` is normalised: an IPv4 client of a dual-stack socket must not pass for an IPv6 one. */
export function contains({ ipv4, ipv6, zones }: Networks, address: string): boolean {
  if (isIPv4(address)) return holds(ipv4, hex(address));
  const [literal = '', zone] = address.split('%', 2);
  const digits = hex(literal);
  const own = zone === undefined ? undefined : zones.get(zone);
  return holds(ipv6, digits) || (own !== undefined && holds(own, digits));
}

function hex(address: string): string {
  const [groups, width] = isIPv4(address) ? [address.split('.').map(Number), 2] : [ipv6Groups(address), 4];
  return groups.map((group) => group.toString(16).padStart(width, '0')).join('');
}

/** The addresses whose first `bits` are those of `digits`. */
function rangeOf(digits: string, bits: number): Range {
  const rest = BigInt(digits.length * 4 - bits);
  const first = (BigInt(`0x${digits}`) >> rest) << rest;
  const last = first | ((1n << rest) - 1n);
  const spelled = (value: bigint): string => value.toString(16).padStart(digits.length, '0');
  return [spelled(first), spelled(last)];
}

/** Networks either lie in each other or apart, so what begins within the range before is a part of that. */
function joined(ranges: readonly Range[]): Ranges {
  const [first, last]: [string[], string[]] = [[], []];
  // Of two that begin together the wider comes first.
  const sorted = ranges.toSorted(([a, z], [b, y]) => compare(a, b) || compare(y, z));
  for (const [start, end] of sorted) {
    if (start <= (last.at(-1) ?? '')) continue;
    first.push(start);
    last.push(end);
  }
  return { first, last };
}

function holds({ first, last }: Ranges, digits: string): boolean {
  let [low, high] = [0, first.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((first[middle] ?? '') <= digits) low = middle + 1;
    else high = middle;
  }
  // `low` is the first range that begins behind the address.
  return digits <= (last[low - 1] ?? '');
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
