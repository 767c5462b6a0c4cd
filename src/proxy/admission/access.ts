import { LRUCache } from 'lru-cache';
import type { FrontendConfig } from '../../config/schema.ts';
import { clientKey } from '../../pool/client-key.ts';
import { contains, networks, type Networks } from './networks.ts';

export const ACCESS_REFUSALS = ['denied', 'not_allowed', 'source_connections', 'source_rate'] as const;
export type AccessRefusal = (typeof ACCESS_REFUSALS)[number];

/** Addresses whose rate is remembered. Beyond that the address seen longest ago starts with a full bucket again. */
const MOST_SOURCES = 100_000;
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
  admit(rules: AccessRules, address: string): AccessRefusal | undefined {
    const listed = listedRefusal(rules, address);
    if (listed) return listed;
    const { connections, rate, prefix } = rules.perSource;
    const source = clientKey(address, prefix);
    const open = this.#open.get(source) ?? 0;
    if (connections > 0 && open >= connections) return 'source_connections';
    if (rate.count > 0 && !this.#takeToken(source, rate)) return 'source_rate';
    this.#open.set(source, open + 1);
    return undefined;
  }

  /** What `admit` would say now; nothing is counted. */
  judge(rules: AccessRules, address: string): AccessRefusal | undefined {
    const listed = listedRefusal(rules, address);
    if (listed) return listed;
    const { connections, rate, prefix } = rules.perSource;
    const source = clientKey(address, prefix);
    if (connections > 0 && (this.#open.get(source) ?? 0) >= connections) return 'source_connections';
    return rate.count > 0 && this.#tokens(this.#buckets?.peek(source), rate) < 1 ? 'source_rate' : undefined;
  }

  /** A connection has ended that was admitted under these rules: another prefix makes another source. */
  leave({ perSource }: AccessRules, address: string): void {
    const source = clientKey(address, perSource.prefix);
    const open = this.#open.get(source);
    if (open === undefined) return;
    if (open > 1) this.#open.set(source, open - 1);
    else this.#open.delete(source);
  }

  #takeToken(source: string, rate: AccessRules['perSource']['rate']): boolean {
    this.#buckets ??= new LRUCache({ max: MOST_SOURCES });
    const tokens = this.#tokens(this.#buckets.get(source), rate);
    this.#buckets.set(source, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: this.#now() });
    return tokens >= 1;
  }

  /** What is in a bucket of `count` tokens, which fills up within the window. A new one is full. */
  #tokens(bucket: Bucket | undefined, { count, windowMs }: AccessRules['perSource']['rate']): number {
    return bucket ? Math.min(count, bucket.tokens + ((this.#now() - bucket.atMs) * count) / windowMs) : count;
  }
}

/** Deny wins. */
function listedRefusal({ allow, deny }: AccessRules, address: string): AccessRefusal | undefined {
  if (deny && contains(deny, address)) return 'denied';
  return allow && !contains(allow, address) ? 'not_allowed' : undefined;
}
