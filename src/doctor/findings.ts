import { CATALOG, type Code, type Level } from './catalog.ts';

/** What is wrong, where, what it looked like, what users would see of it and how to mend it. No text holds a secret. */
export type Finding = {
  readonly level: Level;
  readonly code: Code;
  /** One node, the two of a pair in order, or all that it is about. */
  readonly nodes: readonly string[];
  /** `s1`, `s1 → s2` or `s1, s2`. */
  readonly where: string;
  readonly seen: string;
  readonly users: string;
  readonly mend: string;
};

type Where = string | { readonly from: string; readonly to: string } | readonly string[];

/** `level` where it is not the code's usual one. */
export function finding(code: Code, where: Where, seen: string, level?: Level): Finding {
  const { users, mend, ...usual } = CATALOG[code];
  return { level: level ?? usual.level, code, ...place(where), seen, users, mend };
}

function place(where: Where): { nodes: readonly string[]; where: string } {
  if (typeof where === 'string') return { nodes: [where], where };
  if ('from' in where) return { nodes: [where.from, where.to], where: `${where.from} → ${where.to}` };
  return { nodes: where, where: where.join(', ') };
}

const GRAVITY: Record<Level, number> = { FAIL: 0, WARN: 1, INFO: 2 };

/** The worst first; those of one code together, in the order of the nodes. What two checks found is said once. */
export function sorted(findings: readonly Finding[]): Finding[] {
  const codes = Object.keys(CATALOG);
  const rank = ({ level, code }: Finding): number => GRAVITY[level] * codes.length + codes.indexOf(code);
  const once = new Map(findings.toReversed().map((one) => [`${one.code} ${one.where}`, one]));
  return [...once.values()].toReversed().toSorted((a, b) => rank(a) - rank(b));
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

/**
 * Groups nodes by what they answered: undefined where all agree, else `s1: X; s2 and s3: Y`. Nodes of which nothing is known
 * are left out by the caller.
 */
export function disagreement(answers: readonly { readonly node: string; readonly said: string }[]): string | undefined {
  const groups = new Map<string, string[]>();
  for (const { node, said } of answers) groups.set(said, [...(groups.get(said) ?? []), node]);
  if (groups.size < 2) return undefined;
  return [...groups].map(([said, nodes]) => `${listed(nodes)}: ${said}`).join('; ');
}

/** A check that lays what was seen of all nodes side by side. */
export type FindingsOf<Seen> = (nodes: readonly { readonly label: string; readonly seen: Seen }[]) => Finding[];
