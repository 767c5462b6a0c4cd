import type { Fault } from './words.ts';

/** A directive of nginx: its words, and what stands between its braces where it has some. */
export type Directive = { readonly words: readonly string[]; readonly line: number; readonly block?: Directive[] };

const MOST_DIRECTIVES = 10_000;
const MOST_FAULTS = 100;

/** Takes an nginx.conf apart. Braces that do not match are faults. */
export function lexNginx(text: string): { directives: Directive[]; faults: Fault[] } {
  const directives: Directive[] = [];
  const faults: Fault[] = [];
  const open: { block: Directive[]; line: number }[] = [];
  let words: string[] = [];
  let begun = 1;
  let count = 0;
  const here = (): Directive[] => open.at(-1)?.block ?? directives;
  for (const { word, mark, line } of tokens(text, faults)) {
    if (mark === undefined) {
      if (words.length === 0) begun = line;
      words.push(word);
      continue;
    }
    if (++count > MOST_DIRECTIVES || faults.length >= MOST_FAULTS) {
      if (count > MOST_DIRECTIVES) faults.push({ line, message: `there are more than ${MOST_DIRECTIVES} directives` });
      return { directives, faults };
    }
    if (mark === '{') {
      const block: Directive[] = [];
      here().push({ words, line: begun, block });
      open.push({ block, line });
    } else if (words.length > 0) here().push({ words, line: begun });
    words = [];
    if (mark === '}' && !open.pop()) faults.push({ line, message: 'a } without a {' });
  }
  if (words.length > 0) faults.push({ line: begun, message: `${words[0]} is not ended by a ;` });
  for (const { line } of open.slice(0, MOST_FAULTS)) faults.push({ line, message: 'a { is not closed' });
  return { directives, faults };
}

type Token = { readonly word: string; readonly mark?: ';' | '{' | '}'; readonly line: number };

/** Its groups are the end of a line, a mark, a text in double and in single quotes, and a word without quotes. */
const TOKEN = new RegExp(
  [
    /[ \t\r]+|(\n)|#[^\n]*|([;{}])/,
    /"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'/,
    // What no other part takes, such as a quote that is not closed, is a word of one character.
    /((?:\$\{|\\[^]|[^\s;{}"'\\])(?:\$\{\w*\}|\\[^]|[^\s;{\\])*|[^])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gy',
);

function* tokens(text: string, faults: Fault[]): Generator<Token> {
  let line = 1;
  for (const [whole, newline, mark, double, single, plain] of text.matchAll(TOKEN)) {
    if (mark === ';' || mark === '{' || mark === '}') yield { word: '', mark, line };
    const quoted = double ?? single;
    if (quoted !== undefined) yield { word: quoted.replaceAll(/\\(["'\\])/g, '$1'), line };
    if (plain === '"' || plain === "'") faults.push({ line, message: `the quote ${plain} is not closed` });
    else if (plain !== undefined) yield { word: plain, line };
    line += newline === undefined ? whole.split('\n').length - 1 : 1;
  }
}

/** Whether a text is an nginx.conf: a haproxy.cfg has no line that ends with a brace after these words. */
export function isNginx(text: string): boolean {
  return /^[ \t]*(?:stream|http|events|server|upstream[ \t]+\S+|map[ \t]+\S+[ \t]+\S+)\s*\{/m.test(text);
}
