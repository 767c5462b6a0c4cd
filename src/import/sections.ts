import { lost, type Ledger } from './outcome.ts';
import type { Line } from './words.ts';

/** A section of the file: its head, its lines, and for a proxy the `defaults` that hold for it. */
export type Section = {
  readonly kind: string;
  readonly name: string;
  readonly number: number;
  /** What stands behind the name, and is not `from`. */
  readonly address: string;
  readonly lines: readonly Line[];
  readonly defaults: Defaults | undefined;
};

/** A `defaults` section, and the one that it is made from. */
export type Defaults = {
  readonly number: number;
  readonly lines: readonly Line[];
  readonly from: Defaults | undefined;
  /** What it and those that it is made from say of the mode. */
  mode: string | undefined;
};

const PROXIES = ['frontend', 'backend', 'listen'];
const HEADS = new Set(
  [...PROXIES, 'global', 'defaults', 'peers', 'resolvers', 'userlist', 'mailers', 'program', 'cache'].concat(
    ['fcgi-app', 'http-errors', 'ring', 'log-forward', 'log-profile', 'crt-store', 'acme', 'traces', 'httpclient'],
    ['http-client'],
  ),
);

/** The sections in their order. What cannot be judged is noted: lines before any section, and conditional blocks. */
export function sectionsOf(lines: readonly Line[], ledger: Ledger): Section[] {
  const sections: Section[] = [];
  const named = new Map<string, Defaults>();
  const allDefaults: Defaults[] = [];
  let defaults: Defaults | undefined;
  let open: { kind: string; lines: Line[] } | undefined;
  for (const line of unconditional(lines, ledger)) {
    const [kind = '', name = '', ...rest] = line.words;
    if (!HEADS.has(kind)) {
      if (open) open.lines.push(line);
      else ledger.note(line.number, line.words.join(' '), lost('stands in no section'));
      continue;
    }
    // `defaults from OTHER` has no name of its own.
    const from = name === 'from' ? rest[0] : rest[0] === 'from' ? rest[1] : undefined;
    const inherited = from === undefined ? undefined : named.get(from);
    if (from !== undefined && !inherited) {
      ledger.note(line.number, `from ${from}`, lost(`there is no \`defaults ${from}\` above`));
    }
    const own: Line[] = [];
    open = { kind, lines: own };
    if (kind === 'defaults') {
      defaults = { number: line.number, lines: own, from: inherited, mode: undefined };
      allDefaults.push(defaults);
      if (name !== '' && name !== 'from') named.set(name, defaults);
    }
    const address = from === undefined ? (rest[0] ?? '') : '';
    const of = PROXIES.includes(kind) ? (inherited ?? defaults) : undefined;
    sections.push({ kind, name, number: line.number, address, lines: own, defaults: of });
  }
  for (const one of allDefaults) one.mode = modeOf(one.lines) ?? one.from?.mode;
  return sections;
}

/** The mode that lines say last. */
export function modeOf(lines: readonly Line[]): string | undefined {
  return lines.findLast(({ words }) => words[0] === 'mode')?.words[1];
}

/** `.if` asks about the HAProxy that reads the file: whether its lines hold cannot be said here. */
function* unconditional(lines: readonly Line[], ledger: Ledger): Generator<Line> {
  let depth = 0;
  for (const line of lines) {
    const [word = ''] = line.words;
    if (word === '.if') {
      if (depth++ === 0) {
        const says = 'whether this holds cannot be judged here; the lines up to its `.endif` are left out';
        ledger.note(line.number, line.words.join(' '), lost(says));
      }
    } else if (word === '.endif') depth = Math.max(0, depth - 1);
    else if (depth === 0 && !word.startsWith('.')) yield line;
  }
}
