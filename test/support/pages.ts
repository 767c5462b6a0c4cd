/** The Markdown pages of this repository, taken apart as far as their tests look at them. */
import { readdirSync, readFileSync } from 'node:fs';

export const PAGES: readonly string[] = [
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
  ...readdirSync('docs').map((name) => `docs/${name}`),
];

/** A fenced block: the words after the fence, and what stands inside. */
export type Block = { readonly info: string; readonly text: string };
/** A page without its fenced blocks, and these. */
export type Page = { readonly prose: string; readonly blocks: readonly Block[] };

/** A block may stand in a list, and is then as far to the right as its fence. */
const FENCED = /^( *)```([^\n]*)\n(.*?)^ *```$/gms;

export function readPage(file: string): Page {
  const text = readFileSync(file, 'utf8');
  const blocks = [...text.matchAll(FENCED)].map(([, indent = '', info = '', inside = '']) => ({
    info,
    text: inside.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
  return { prose: text.replaceAll(FENCED, ''), blocks };
}

/** The shell's blocks between this heading of a page and the next. */
export function blocksBelow(file: string, heading: string): string[] {
  const parts = readFileSync(file, 'utf8').split(/^#{2,} /m);
  const below = parts.find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...below.matchAll(FENCED)].flatMap(([, , info, inside = '']) => (info === 'sh' ? [inside] : []));
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf({ prose }: Page): string[] {
  const seen = new Map<string, number>();
  return [...prose.matchAll(/^#+ +(.*)$/gm)].map(([, heading = '']) => {
    const anchor = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}

/** The targets of a page's links that lead to a place in this repository. */
export function linksOf({ prose }: Page): string[] {
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^\w+:/.test(target));
}

export type Call = { readonly program: string; readonly command: string; readonly options: readonly string[] };

const CALL = /^(?:\$ )?(?:docker compose exec (?:-T )?berth )?(berth|node dist\/\S+) ([a-z-]+)([^#<>|]*)/;

/** The calls of Berth that a page shows: in a line of a block, or between backticks. */
export function callsOf({ prose, blocks }: Page): Call[] {
  const lines = blocks.flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'));
  const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span.replaceAll(/\s+/g, ' '));
  return [...lines, ...spans].flatMap((line) => {
    const [, program = '', command = '', rest = ''] = CALL.exec(line) ?? [];
    const options = rest.split(' ').filter((word) => /^--?[a-z]/.test(word));
    return command === '' ? [] : [{ program, command, options }];
  });
}
