import type { Budget } from './budget.ts';
import { networksOf, type Networks } from './networks.ts';

/** An entry of a list of networks in balancer.yml, and the networks that the entry stands for. */
export type Listed = { readonly value: string; readonly cidrs: readonly string[] };

/** What one test of a condition asks; `size` is how much there is to read of it. */
export type Asked =
  | { readonly kind: 'source'; readonly networks: Networks; readonly listed: readonly Listed[]; readonly size: number }
  | { readonly kind: 'serverName'; readonly patterns: readonly string[] }
  /** Whether there is a ClientHello, or anything at all: Berth waits for the ClientHello where it routes by name. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'limit'; readonly of: 'connections' | 'rate'; readonly most: number; readonly table?: string }
  | { readonly kind: 'other'; readonly says: string };
export type AskedOf<K extends Asked['kind']> = Extract<Asked, { kind: K }>;

/** The test whether the source is in `listed`. Its networks are put together when somebody asks for them. */
export function sourceIn(listed: readonly Listed[], networks?: Networks): AskedOf<'source'> {
  let known = networks;
  return {
    kind: 'source',
    listed,
    size: listed.reduce((sum, { cidrs }) => sum + cidrs.length, 1),
    get networks() {
      return (known ??= networksOf(listed.flatMap(({ cidrs }) => cidrs)));
    },
  };
}

export const sizeOf = (asked: Asked): number =>
  asked.kind === 'source' ? asked.size : asked.kind === 'serverName' ? asked.patterns.length : 1;

/** The lines of one name, and what they come to together, once somebody has asked. */
type Acl = { readonly lines: Asked[]; together: readonly Asked[] | undefined };

/** Tests by their names; a name that stands in several lines has their tests as alternatives. */
export class Acls {
  readonly #acls = new Map<string, Acl>();
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Takes over what has been defined in `other`; later lines here add nothing there. */
  inherit(other: Acls, line: number): void {
    for (const [name, { lines }] of other.#acls) {
      if (!this.#budget.spend(lines.length, line)) return;
      this.#acls.set(name, { lines: [...lines], together: undefined });
    }
  }

  define(name: string, asked: Asked): void {
    const acl = this.#acls.get(name) ?? { lines: [], together: undefined };
    acl.lines.push(asked);
    acl.together = undefined;
    this.#acls.set(name, acl);
  }

  /** The alternatives of a name: networks are one, and so are server names, however many lines they stand in. */
  get(name: string, line: number): readonly Asked[] | undefined {
    const acl = this.#acls.get(name);
    if (!acl || acl.together) return acl?.together;
    const size = acl.lines.reduce((sum, asked) => sum + sizeOf(asked), 0);
    acl.together = acl.lines.length === 1 || !this.#budget.spend(size, line) ? acl.lines : grouped(acl.lines);
    return acl.together;
  }
}

function grouped(lines: readonly Asked[]): Asked[] {
  const of = <K extends Asked['kind']>(kind: K): AskedOf<K>[] =>
    lines.filter((asked): asked is AskedOf<K> => asked.kind === kind);
  const [sources, names] = [of('source'), of('serverName')];
  // One thing that Berth cannot ask is as bad as several.
  const [hellos, others] = [of('hello').slice(0, 1), of('other').slice(0, 1)];
  return [
    ...(sources.length > 1 ? [sourceIn(sources.flatMap(({ listed }) => listed))] : sources),
    ...(names.length > 1
      ? [{ kind: 'serverName', patterns: names.flatMap(({ patterns }) => patterns) } as const]
      : names),
    ...of('limit'),
    ...hellos,
    ...others,
  ];
}
