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
/** HAProxy has no bound for a line, but for its words. */
const LONGEST_LINE = 16_384;
/** As HAProxy's MAX_LINE_ARGS. */
const MOST_WORDS = 64;
/** Of a file's lines, and of its faults. */
const MOST_LINES = 10_000;
const MOST_FAULTS = 100;
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
    const isTooLong = line.length > LONGEST_LINE && !/^\s*(?:#|$)/.test(line);
    const read = isTooLong ? TOO_LONG : readLine(line, variables);
    if (typeof read === 'string') faults.push({ line: number, message: read });
    else {
      if (read.words.length > 0) lines.push({ number, words: read.words });
      for (const name of read.unset) unset.push({ line: number, name });
      if (SET_BY_FILE.has(read.words[0] ?? '')) setVariable(read.words, variables);
    }
    if (lines.length > MOST_LINES) faults.push({ line: number, message: `there are more than ${MOST_LINES} lines` });
    if (lines.length > MOST_LINES || faults.length >= MOST_FAULTS) break;
  }
  return { lines, faults, unset };
}

const TOO_LONG = `the line is longer than ${LONGEST_LINE} characters`;

/** HAProxy reads a backslash at the end of a line as a word; whoever wrote the backslash meant the line to go on. */
function* joinedLines(text: string): Generator<{ number: number; text: string }> {
  let parts: string[] = [];
  let length = 0;
  // What the first character that is no blank has made of the line.
  let is: 'blank' | 'comment' | 'words' = 'blank';
  const lines = text.split(/\r?\n/);
  for (const [i, line] of lines.entries()) {
    const isOpen = endsOpen(line);
    const part = isOpen ? line.slice(0, -1) : line;
    if (is === 'blank' && /\S/.test(part)) is = /^\s*#/.test(part) ? 'comment' : 'words';
    length += line.length + 1;
    const goesOn = isOpen && is !== 'comment' && length <= LONGEST_LINE && i + 1 < lines.length;
    parts.push(goesOn ? part : line);
    if (goesOn) continue;
    yield { number: i + 2 - parts.length, text: parts.join(' ') };
    [parts, length, is] = [[], 0, 'blank'];
  }
}

/** Whether a line ends with a backslash that no other backslash stands before. */
function endsOpen(line: string): boolean {
  let from = line.length;
  while (line.charAt(from - 1) === '\\') from--;
  return (line.length - from) % 2 === 1;
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
  // A variable may be longer than its name, and may be made of variables.
  let length = 0;
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
      length += variable.text.length;
      if (length > LONGEST_LINE) return `with its variables ${TOO_LONG}`;
      const [begin = '', ...more] = variable.isList ? variable.text.trim().split(/\s+/) : [variable.text];
      word += begin;
      for (const next of more) {
        words.push(word);
        word = next;
      }
      i += variable.length - 1;
    } else word += c;
  }
  if (quote !== '') return `the quote ${quote} is not closed`;
  if (word !== undefined) words.push(word);
  return words.length > MOST_WORDS ? `the line has more than ${MOST_WORDS} words` : { words, unset };
}

function escapeAt(line: string, at: number): { text: string; length: number } {
  const next = line.charAt(at + 1);
  const [, hex] = /^\\x([0-9a-f]{2})/i.exec(line.slice(at, at + 4)) ?? [];
  if (hex !== undefined) return { text: String.fromCharCode(Number.parseInt(hex, 16)), length: 4 };
  if (Object.hasOwn(ESCAPED, next)) return { text: ESCAPED[next] ?? '', length: 2 };
  // Before any other character a backslash is a backslash.
  return /[\\ #"'$]/.test(next) ? { text: next, length: 2 } : { text: '\\', length: 1 };
}

type Variable = { readonly text: string; readonly length: number; readonly unset?: string; readonly isList?: boolean };

/** `$NAME`, `${NAME}`, `${NAME-DEFAULT}`, or `${NAME[*]}`, which is a word for each word of the value. */
function variableAt(line: string, at: number, variables: Environment): Variable | string {
  const [whole, braced, list, fallback, plain] =
    /^\$(?:\{([A-Za-z_.]\w*)(\[\*\])?(?:-([^}]*))?\}|([A-Za-z_.]\w*))/.exec(line.slice(at)) ?? [];
  if (whole === undefined) {
    return line.charAt(at + 1) === '{'
      ? 'a variable is written as ${NAME}, or with a default as ${NAME-DEFAULT}'
      : { text: '$', length: 1 };
  }
  const name = braced ?? plain ?? '';
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
  const unset = value === undefined && fallback === undefined ? { unset: name } : {};
  return { text: value ?? fallback ?? '', length: whole.length, isList: list !== undefined, ...unset };
}
