import { LRUCache } from 'lru-cache';
import { BlockList, isIPv4 } from 'node:net';
import type { FrontendConfig } from '../../config/schema.ts';
import { clientKey } from '../../pool/client-key.ts';

export const ACCESS_REFUSALS = ['denied', 'not_allowed', 'source_connections', 'source_rate'] as const;
export type AccessRefusal = (typeof ACCESS_REFUSALS)[number];

/** Addresses whose rate is remembered. Beyond that the address seen longest ago starts with a full bucket again. */
const MOST_SOURCES = 100_000;
/** One source: an IPv4 address, or an IPv6 network, of which a host has as many addresses as it likes. */
const SOURCE = { ipv4: 32, ipv6: 64 };

/** ::ffff:0:0/96 is all of IPv4. */
const MAPPED_BITS = 96;

/** Who may connect, and how often. */
export type AccessRules = {
  /** Undefined where everyone may. */
  readonly allow: Networks | undefined;
  readonly deny: Networks | undefined;
  readonly perSource: FrontendConfig['perSource'];
};

export function accessRules({
  allow,
  deny,
  perSource,
}: Pick<FrontendConfig, 'allow' | 'deny' | 'perSource'>): AccessRules {
  return {
    allow: allow.length > 0 ? networks(allow) : undefined,
    deny: deny.length > 0 ? networks(deny) : undefined,
    perSource,
  };
}

type Bucket = { tokens: number; atMs: number };

/** Who is connected, and how often each source came: what rules are held against, and what outlives them. */
export class Access {
  readonly #now: () => number;
  readonly #open = new Map<string, number>();
  /** Made with the first rate that is set: it takes its memory at once. */
  #buckets: LRUCache<string, Bucket> | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Admits a connection from `address`, an IP literal, and counts it until `leave`; or says why not. */
  admit({ allow, deny, perSource }: AccessRules, address: string): AccessRefusal | undefined {
    // Deny wins.
    if (deny && contains(deny, address)) return 'denied';
    if (allow && !contains(allow, address)) return 'not_allowed';
    const { connections, rate } = perSource;
    const source = clientKey(address, SOURCE);
    const open = this.#open.get(source) ?? 0;
    if (connections > 0 && open >= connections) return 'source_connections';
    if (rate.count > 0 && !this.#takeToken(source, rate)) return 'source_rate';
    this.#open.set(source, open + 1);
    return undefined;
  }

  /** An admitted connection has ended. */
  leave(address: string): void {
    const source = clientKey(address, SOURCE);
    const open = this.#open.get(source);
    if (open === undefined) return;
    if (open > 1) this.#open.set(source, open - 1);
    else this.#open.delete(source);
  }

  /** A bucket of `count` tokens that fills up within the window. */
  #takeToken(source: string, { count, windowMs }: AccessRules['perSource']['rate']): boolean {
    const nowMs = this.#now();
    this.#buckets ??= new LRUCache({ max: MOST_SOURCES });
    const bucket = this.#buckets.get(source) ?? { tokens: count, atMs: nowMs };
    const tokens = Math.min(count, bucket.tokens + ((nowMs - bucket.atMs) * count) / windowMs);
    this.#buckets.set(source, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }
}

/** Networks in CIDR notation, for the addresses of each family. */
export type Networks = { readonly ipv4: BlockList; readonly ipv6: BlockList };

export function networks(cidrs: readonly string[]): Networks {
  const all = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) {
    const [address = '', prefix] = cidr.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    const bits = Number(prefix ?? (family === 'ipv4' ? 32 : 128));
    all[family].addSubnet(address, bits, family);
    // A list takes IPv4 addresses to be in ::ffff:0:0/96, as who names a part of it means, but not who names ::/0.
    if (family === 'ipv6' && bits >= MAPPED_BITS) all.ipv4.addSubnet(address, bits, family);
  }
  return all;
}

/** `address` is normalised: an IPv4 client of a dual-stack socket must not pass for an IPv6 one. */
export function contains({ ipv4, ipv6 }: Networks, address: string): boolean {
  return isIPv4(address) ? ipv4.check(address, 'ipv4') : ipv6.check(address, 'ipv6');
}
