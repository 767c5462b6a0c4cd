import { isIP, isIPv4, SocketAddress } from 'node:net';

/** Addresses of both families, each as ranges that neither overlap nor touch, in order. */
export type Networks = { readonly ipv4: readonly Range[]; readonly ipv6: readonly Range[] };
type Range = { readonly from: bigint; readonly to: bigint };
type Family = keyof Networks;

const FAMILIES = ['ipv4', 'ipv6'] as const;
const BITS = { ipv4: 32, ipv6: 128 } as const;
const most = (family: Family): bigint => (1n << BigInt(BITS[family])) - 1n;

export const NOBODY: Networks = { ipv4: [], ipv6: [] };
export const EVERYBODY: Networks = {
  ipv4: [{ from: 0n, to: most('ipv4') }],
  ipv6: [{ from: 0n, to: most('ipv6') }],
};

/** The canonical spelling of `ADDRESS`, `ADDRESS/BITS` or `ADDRESS/NETMASK`; undefined for another text. */
export function cidrOf(text: string): string | undefined {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more.length > 0) return undefined;
  if (bits === undefined) return address;
  const width = isIPv4(bits) && family === 4 ? maskBits(bits) : Number(/^\d{1,3}$/.exec(bits)?.[0]);
  return width !== undefined && width <= (family === 4 ? 32 : 128) ? `${address}/${width}` : undefined;
}

/** `255.255.0.0` is 16; undefined for a mask with gaps, which no CIDR can say. */
function maskBits(mask: string): number | undefined {
  const ones = toNumber(mask, 'ipv4').toString(2).padStart(32, '0');
  return /^1*0*$/.test(ones) ? ones.replaceAll('0', '').length : undefined;
}

/** The addresses of networks that `cidrOf` has spelled. */
export function networksOf(cidrs: readonly string[]): Networks {
  const ranges: Record<Family, Range[]> = { ipv4: [], ipv6: [] };
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    const hostBits = BigInt(BITS[family] - Number(bits ?? BITS[family]));
    const from = (toNumber(address, family) >> hostBits) << hostBits;
    ranges[family].push({ from, to: from + (1n << hostBits) - 1n });
  }
  return { ipv4: merged(ranges.ipv4), ipv6: merged(ranges.ipv6) };
}

export function union(a: Networks, b: Networks): Networks {
  return { ipv4: merged([...a.ipv4, ...b.ipv4]), ipv6: merged([...a.ipv6, ...b.ipv6]) };
}

export function complement(networks: Networks): Networks {
  const all = (family: Family): Range[] => {
    const gaps: Range[] = [];
    let next = 0n;
    for (const { from, to } of networks[family]) {
      if (from > next) gaps.push({ from: next, to: from - 1n });
      next = to + 1n;
    }
    return next <= most(family) ? [...gaps, { from: next, to: most(family) }] : gaps;
  };
  return { ipv4: all('ipv4'), ipv6: all('ipv6') };
}

export function intersection(a: Networks, b: Networks): Networks {
  return complement(union(complement(a), complement(b)));
}

export function difference(a: Networks, b: Networks): Networks {
  return intersection(a, complement(b));
}

/** Rules of which the first that holds decides: whom one lets in, and on whom none decides. */
export function decide(rules: readonly { readonly networks: Networks; readonly admits: boolean }[]): {
  readonly admitted: Networks;
  readonly undecided: Networks;
} {
  const admitted: Record<Family, Range[]> = { ipv4: [], ipv6: [] };
  const undecided: Record<Family, Range[]> = { ipv4: [], ipv6: [] };
  for (const family of FAMILIES) {
    const all = rules.flatMap(({ networks, admits }) => networks[family].map((range) => ({ ...range, admits })));
    // Cells between two edges, each of which goes to the first rule that takes it.
    const edges = [0n, ...all.flatMap(({ from, to }) => [from, to + 1n])].toSorted(byValue);
    const starts = edges.filter((edge, i) => edge !== edges[i - 1] && edge <= most(family));
    const verdicts = starts.map((): boolean | undefined => undefined);
    const free = new FreeCells(starts.length);
    for (const { from, to, admits } of all) {
      const end = cellFrom(starts, to + 1n);
      for (let cell = free.from(cellFrom(starts, from)); cell < end; cell = free.from(cell)) {
        verdicts[cell] = admits;
        free.take(cell);
      }
    }
    for (const [cell, from] of starts.entries()) {
      const range = { from, to: (starts[cell + 1] ?? most(family) + 1n) - 1n };
      if (verdicts[cell] === undefined) undecided[family].push(range);
      else if (verdicts[cell]) admitted[family].push(range);
    }
  }
  const joined = (ranges: Record<Family, Range[]>): Networks => ({
    ipv4: merged(ranges.ipv4),
    ipv6: merged(ranges.ipv6),
  });
  return { admitted: joined(admitted), undecided: joined(undecided) };
}

const byValue = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** The first cell that begins at `edge` or behind it; as keys of a map, long numbers with one end would collide. */
function cellFrom(starts: readonly bigint[], edge: bigint): number {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? edge) < edge) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Which of a row of cells are free, found without looking at those that are taken. */
class FreeCells {
  /** Of each taken cell one that is nearer to the next free one. */
  readonly #next: number[];

  constructor(count: number) {
    this.#next = Array.from({ length: count + 1 }, (_, cell) => cell);
  }

  take(cell: number): void {
    this.#next[cell] = cell + 1;
  }

  /** The first free cell from `cell` on. */
  from(cell: number): number {
    let found = cell;
    for (let next = this.#next[found] ?? found; next !== found; next = this.#next[found] ?? found) {
      this.#next[found] = this.#next[next] ?? next;
      found = next;
    }
    return found;
  }
}

export function equal(a: Networks, b: Networks): boolean {
  return FAMILIES.every(
    (family) =>
      a[family].length === b[family].length &&
      a[family].every(({ from, to }, i) => from === b[family][i]?.from && to === b[family][i]?.to),
  );
}

/** The fewest networks that are these addresses. */
export function* cidrsOf(networks: Networks): Generator<string> {
  for (const family of FAMILIES) {
    for (const { from, to } of networks[family]) {
      for (let next = from; next <= to;) {
        let hostBits = 0n;
        // The largest network that begins at `next` and does not reach beyond `to`.
        while (
          hostBits < BITS[family] &&
          ((next >> hostBits) & 1n) === 0n &&
          next + (1n << (hostBits + 1n)) - 1n <= to
        ) {
          hostBits++;
        }
        const bits = BITS[family] - Number(hostBits);
        yield `${toAddress(next, family)}${bits === BITS[family] ? '' : `/${bits}`}`;
        next += 1n << hostBits;
      }
    }
  }
}

function merged(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((a, b) => byValue(a.from, b.from));
  const result: Range[] = [];
  for (const range of sorted) {
    const last = result.at(-1);
    if (!last || range.from > last.to + 1n) result.push(range);
    else if (range.to > last.to) result[result.length - 1] = { from: last.from, to: range.to };
  }
  return result;
}

function toNumber(address: string, family: Family): bigint {
  if (family === 'ipv4') return address.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
  const [left = '', right] = withoutDots(address).split('::');
  const groups = (half: string): string[] => (half === '' ? [] : half.split(':'));
  const [head, tail] = [groups(left), groups(right ?? '')];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

/** `::ffff:10.0.0.1` as `::ffff:a00:1`. */
function withoutDots(address: string): string {
  const [dotted] = /\d+\.\d+\.\d+\.\d+$/.exec(address) ?? [];
  if (dotted === undefined) return address;
  const value = Number(toNumber(dotted, 'ipv4'));
  return `${address.slice(0, -dotted.length)}${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

function toAddress(value: bigint, family: Family): string {
  if (family === 'ipv4') return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
