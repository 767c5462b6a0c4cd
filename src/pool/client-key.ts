import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';

/** How many leading bits of an address make one client. */
export type Prefix = { readonly ipv4: number; readonly ipv6: number };

/** fe80::/10 */
const LINK_LOCAL = /^fe[89ab]/;

/**
 * One spelling for each address. A dual-stack socket calls an IPv4 client `::ffff:10.0.0.1`, which becomes 10.0.0.1.
 * Other IPv6 addresses become their shortest spelling, which the kernel uses and a sender of PROXY headers may not.
 * A zone stays as it is, and so does what is no IP address.
 */
export function normaliseAddress(address: string): string {
  if (isIPv4(address)) return address;
  if (address.startsWith('::ffff:') && isIPv4(address.slice(7))) return address.slice(7);
  if (!isIPv6(address)) return address;
  const [literal = '', zone] = address.split('%', 2);
  if (zone !== undefined) return `${normaliseAddress(literal)}%${zone}`;
  const shortest = new SocketAddress({ address, family: 'ipv6' }).address;
  return shortest === address ? address : normaliseAddress(shortest);
}

/**
 * The name of a client in a stick table: its address, or `NETWORK/BITS` where the prefix is shorter than the address.
 * `address` is a normalised IP literal. A link-local address is a client of its own, with its zone: all hosts of all
 * links are in fe80::/64.
 */
export function clientKey(address: string, prefix: Prefix): string {
  if (isIPv4(address)) return prefix.ipv4 === 32 ? address : `${maskIPv4(address, prefix.ipv4)}/${prefix.ipv4}`;
  return prefix.ipv6 === 128 || LINK_LOCAL.test(address) ? address : `${maskIPv6(address, prefix.ipv6)}/${prefix.ipv6}`;
}

/**
 * What a key that was kept is now: another prefix may be in force, and the file's writer may spell addresses otherwise.
 * A network that is wider than the prefix stays, and is no client's key.
 */
export function keptKey(kept: string, prefix: Prefix): string {
  const [address = '', bits] = kept.split('/');
  if (isIP(address) === 0) return kept;
  const literal = normaliseAddress(address);
  const wanted = isIPv4(literal) ? prefix.ipv4 : prefix.ipv6;
  return bits === undefined || Number(bits) >= wanted ? clientKey(literal, prefix) : kept;
}

function maskIPv4(address: string, bits: number): string {
  return address
    .split('.')
    .map((octet, i) => Number(octet) & mask(bits - i * 8, 8))
    .join('.');
}

function maskIPv6(address: string, bits: number): string {
  const groups = ipv6Groups(address).map((group, i) => group & mask(bits - i * 16, 16));
  // The zeros behind the network are the longest run, which stands for `::` in the shortest spelling (RFC 5952).
  const kept = groups.slice(0, groups.findLastIndex((group) => group !== 0) + 1).map((group) => group.toString(16));
  return kept.length === 8 ? kept.join(':') : `${kept.join(':')}::`;
}

/** A number of `width` bits whose first `bits` are set; 0 where `bits` is negative. */
function mask(bits: number, width: number): number {
  const set = Math.min(Math.max(bits, 0), width);
  return ((1 << width) - 1) & ~((1 << (width - set)) - 1);
}

/** The eight 16-bit groups of an IPv6 address without a zone. */
export function ipv6Groups(address: string): number[] {
  const [left = '', right] = address.split('::');
  const parse = (half: string): number[] =>
    half === ''
      ? []
      : half.split(':').flatMap((group) => (isIPv4(group) ? ipv4Groups(group) : [Number.parseInt(group, 16)]));
  const [head, tail] = [parse(left), right === undefined ? [] : parse(right)];
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}

function ipv4Groups(address: string): number[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}
