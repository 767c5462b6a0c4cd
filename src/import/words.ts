/** A line of the file as HAProxy reads it: its number in the file, and its words without quotes and comments. */
export type Line = { readonly number: number; readonly words: readonly string[] };
export type Fault = { readonly line: number; readonly message: string };
export type Environment = { [name: string]: string | undefined };

/** A haproxy.cfg that was taken apart, and what no HAProxy would have read either. */
export type Lexed = {
  readonly lines: readonly Line[];
  readonly faults: readonly Fault[];
  /** Variables that are not set here: HAProxy reads an empty text in their place. */
  readonly unset: readonly { readonly line: number; readonly name: string }[];
};

const ESCAPED: Record<string, string> = { n: '\n', r: '\r', t: '\t' };
const LONGEST_LINE = 4_096;
const SET_BY_FILE = new Set(['setenv', 'presetenv', 'unsetenv']);

/**
 * Takes the text of a haproxy.cfg apart (section 2.2 of its manual: quotes, escapes, `${NAME}` between double quotes).
 * `environment` is what variables stand for; `setenv` and its like in the file change a copy of it.
 */
export function lex(text: string, environment: Environment): Lexed {
  const lines: Line[] = [];
  const faults: Fault[] = [];
  const unset: { line: number; name: string }[] = [];
  const variables = { ...environment };
  for (const { number, text: line } of joinedLines(text)) {
    if (line.length > LONGEST_LINE) {
      faults.push({ line: number, message: `the line is longer than ${LONGEST_LINE} characters` });
      continue;
    }
    const read = readLine(line, variables);
    if (typeof read === 'string') {
      faults.push({ line: number, message: read });
      continue;
    }
    if (read.words.length > 0) lines.push({ number, words: read.words });
    for (const name of read.unset) unset.push({ line: number, name });
    if (SET_BY_FILE.has(read.words[0] ?? '')) setVariable(read.words, variables);
  }
  return { lines, faults, unset };
}

/** HAProxy reads a backslash at the end of a line as a word; whoever wrote the backslash meant the line to go on. */
function* joinedLines(text: string): Generator<{ number: number; text: string }> {
  let begun: { number: number; text: string } | undefined;
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const whole = begun ? { number: begun.number, text: `${begun.text} ${line}` } : { number: i + 1, text: line };
    const [backslashes = ''] = /\\*$/.exec(line) ?? [];
    begun = undefined;
    if (backslashes.length % 2 === 1 && !/^\s*#/.test(whole.text) && whole.text.length <= LONGEST_LINE) {
      begun = { number: whole.number, text: whole.text.slice(0, -1) };
    } else yield whole;
  }
  if (begun) yield begun;
}

function setVariable([command, name = '', value = '']: readonly string[], variables: Environment): void {
  if (command === 'unsetenv') variables[name] = undefined;
  else if (command === 'setenv' || variables[name] === undefined) variables[name] = value;
}

type ReadLine = { readonly words: string[]; readonly unset: readonly string[] };

/** The words of one line; or what is wrong with the line. */
function readLine(line: string, variables: Environment): ReadLine | string {
  const words: string[] = [];
  const unset: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (quote === '' && c === '#') break;
    if (quote === '' && /\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word ??= '';
    if (c === quote) quote = '';
    else if (quote === '' && (c === '"' || c === "'")) quote = c;
    else if (c === '\\' && quote !== "'") {
      const escape = escapeAt(line, i);
      word += escape.text;
      i += escape.length - 1;
    } else if (c === '$' && quote === '"') {
      const variable = variableAt(line, i, variables);
      if (typeof variable === 'string') return variable;
      if (variable.unset !== undefined) unset.push(variable.unset);
      word += variable.text;
      i += variable.length - 1;
    } else word += c;
  }
  if (quote !== '') return `the quote ${quote} is not closed`;
  if (word !== undefined) words.push(word);
  return { words, unset };
}

function escapeAt(line: string, at: number): { text: string; length: number } {
  const next = line.charAt(at + 1);
  const [, hex] = /^\\x([0-9a-f]{2})/i.exec(line.slice(at, at + 4)) ?? [];
  if (hex !== undefined) return { text: String.fromCharCode(Number.parseInt(hex, 16)), length: 4 };
  if (Object.hasOwn(ESCAPED, next)) return { text: ESCAPED[next] ?? '', length: 2 };
  // Before any other character a backslash is a backslash.
  return /[\\ #"'$]/.test(next) ? { text: next, length: 2 } : { text: '\\', length: 1 };
}

function variableAt(
  line: string,
  at: number,
  variables: Environment,
): { text: string; length: number; unset?: string } | string {
  const [whole, braced, fallback, plain] =
    /^\$(?:\{([A-Za-z_.]\w*)(?:\[\*\])?(?:-([^}]*))?\}|([A-Za-z_.]\w*))/.exec(line.slice(at)) ?? [];
  if (whole === undefined) {
    return line.charAt(at + 1) === '{' ? 'a variable is not written as ${NAME}' : { text: '$', length: 1 };
  }
  const name = braced ?? plain ?? '';
  const text = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (text !== undefined) return { text, length: whole.length };
  return { text: fallback ?? '', length: whole.length, ...(fallback === undefined ? { unset: name } : {}) };
}
