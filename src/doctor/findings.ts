import type { Level } from './advice.ts';
import { CATALOG, type Code } from './catalog.ts';

/** A fault and its remedy. No text holds a secret. */
export type Finding = {
  readonly level: Level;
  readonly code: Code;
  /** The labels of the nodes that the finding is about: one node, the two of a pair in order, or several alike. */
  readonly nodes: readonly string[];
  /** `nodes` in words: `s1`, `s1 → s2` or `s1, s2`. */
  readonly where: string;
  /** What the doctor saw, in words. */
  readonly seen: string;
  readonly users: string;
  readonly mend: string;
};

type Where = string | { readonly from: string; readonly to: string } | readonly string[];

/** `level` is for a finding that is graver or lighter than its code usually is. */
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

/**
 * The gravest level first, within a level in the order of the catalog, within a code in the order of the nodes. Where
 * two checks have made a finding with the same code at the same place, the earlier of the two stays.
 */
export function sorted(findings: readonly Finding[]): Finding[] {
  const codes = Object.keys(CATALOG);
  const rank = ({ level, code }: Finding): number => GRAVITY[level] * codes.length + codes.indexOf(code);
  const once = new Map(findings.toReversed().map((found) => [`${found.code} ${found.where}`, found]));
  return [...once.values()].toReversed().toSorted((a, b) => rank(a) - rank(b));
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

/**
 * Groups nodes by what they said: undefined where all agree, else `s1: X; s2 and s3: Y`. The caller leaves out the
 * nodes that said nothing.
 */
export function disagreement(answers: readonly { readonly node: string; readonly said: string }[]): string | undefined {
  const groups = new Map<string, string[]>();
  for (const { node, said } of answers) groups.set(said, [...(groups.get(said) ?? []), node]);
  if (groups.size < 2) return undefined;
  return [...groups].map(([said, nodes]) => `${listed(nodes)}: ${said}`).join('; ');
}

/** A check that compares what was seen of all nodes. */
export type FindingsOf<Seen> = (nodes: readonly { readonly label: string; readonly seen: Seen }[]) => Finding[];
