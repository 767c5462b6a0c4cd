import { lost, type Ledger } from './outcome.ts';
import type { Line } from './words.ts';

/** A section of the file: its head, its lines, and for a proxy the lines of the `defaults` that hold for it. */
export type Section = {
  readonly kind: string;
  readonly name: string;
  readonly number: number;
  /** What stands behind the name, and is not `from`. */
  readonly address: string;
  readonly lines: readonly Line[];
  readonly defaults: readonly Line[];
};

/** The lines of a `defaults` section, after those of the sections that it is made from. */
type Defaults = readonly (readonly Line[])[];

const PROXIES = ['frontend', 'backend', 'listen'];
const HEADS = new Set(
  [...PROXIES, 'global', 'defaults', 'peers', 'resolvers', 'userlist', 'mailers', 'program', 'cache'].concat(
    ['fcgi-app', 'http-errors', 'ring', 'log-forward', 'log-profile', 'crt-store', 'acme', 'traces', 'httpclient'],
    ['http-client'],
  ),
);

/** The sections in their order. What cannot be judged is noted: lines before any section, and conditional blocks. */
export function sectionsOf(lines: readonly Line[], ledger: Ledger): Section[] {
  const sections: (Omit<Section, 'defaults'> & { defaults: Defaults })[] = [];
  const named = new Map<string, Defaults>();
  let defaults: Defaults = [];
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
      defaults = [...(inherited ?? []), own];
      if (name !== '' && name !== 'from') named.set(name, defaults);
    }
    const proxy = PROXIES.includes(kind);
    const address = from === undefined ? (rest[0] ?? '') : '';
    sections.push({
      kind,
      name,
      number: line.number,
      address,
      lines: own,
      defaults: proxy ? (inherited ?? defaults) : [],
    });
  }
  return sections.map((section) => ({ ...section, defaults: section.defaults.flat() }));
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
