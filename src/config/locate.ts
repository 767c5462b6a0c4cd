import { isAlias, isMap, isNode, isPair, isScalar, isSeq, visit } from 'yaml';
import type { Document, LineCounter, Pair, Scalar, YAMLMap } from 'yaml';
import { SECRET_KEYS, type Finding, type Path } from './rules.ts';

/** A fault of a configuration file. `line` and `column` count from 1; `path` is dotted, empty for the whole file. */
export type Problem = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
};

/** As they stand in the file. */
export const inOrder = (a: Problem, b: Problem): number => a.line - b.line || a.column - b.column;

/** `FILE:LINE:COL: path: what is wrong` */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

/** A longer text of a problem is cut: it may repeat a value of any length. */
const LONGEST_TEXT = 400;

/**
 * `text` as one line of bounded length, with control characters as JSON escapes, so that no terminal obeys them, those
 * included that turn the direction of what follows.
 */
export function printable(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (c) => {
    const escape = JSON.stringify(c).slice(1, -1);
    return escape === c ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : escape;
  });
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT - 1)}…` : line;
}

/** Nobody merges maps into maps this often. */
const DEEPEST_MERGE = 20;

/** Turns findings about the values of a document into problems with a line and a column. */
export class Locator {
  readonly #file: string;
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(file: string, document: Document, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  finding({ path, message, at, within }: Finding): Problem {
    if (!within) return this.#problem(this.#offset(path, at === 'key'), path.join('.'), message);
    return { ...within, column: 1, path: printable(path.join('.')), message: printable(message) };
  }

  /** What is wrong with a scalar, wherever it stands. */
  scalarFault(scalar: Scalar, message: string): Problem {
    const offset = scalar.range?.[0] ?? 0;
    return this.#problem(
      offset,
      this.#pathOf((pair) => pair.value === scalar),
      message,
    );
  }

  /** The node at `path`, through aliases and merges. */
  nodeAt(path: Path): unknown {
    let node: unknown = this.#document.contents;
    for (const key of path) {
      node = this.#resolved(node);
      node = isMap(node) ? this.#pair(node, key)?.value : isSeq(node) ? node.items[Number(key)] : undefined;
    }
    return this.#resolved(node);
  }

  /** Values of `<<` that are no maps. */
  strayMerges(): Problem[] {
    const problems: Problem[] = [];
    visit(this.#document, {
      Pair: (_, pair) => {
        for (const source of isMerge(pair) ? sourcesOf(pair, (node) => this.#resolved(node)) : []) {
          if (isMap(this.#resolved(source))) continue;
          const offset = isNode(source) ? (source.range?.[0] ?? 0) : isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
          problems.push(this.#problem(offset, '', '<< merges a map or a list of maps, such as <<: *anchor'));
        }
      },
    });
    return problems;
  }

  /** Keys that a map has twice. */
  namesTwice(): Problem[] {
    const problems: Problem[] = [];
    visit(this.#document, {
      Map: (_, map, ancestors) => {
        const seen = new Set<unknown>();
        for (const pair of map.items) {
          if (!isScalar(pair.key)) continue;
          const offset = pair.key.range?.[0] ?? 0;
          const path = (): string => dotted([...ancestors, pair]);
          if (seen.has(pair.key.value)) problems.push(this.#problem(offset, path(), 'this name stands here twice'));
          seen.add(pair.key.value);
        }
      },
    });
    return problems;
  }

  yamlError({ code, message, pos }: { code: string; message: string; pos: [number, number] }): Problem {
    if (code === 'MULTIPLE_DOCS')
      return this.#problem(pos[0], '', 'a second YAML document starts here; there can be one');
    const text = message.split('\n', 1)[0] ?? '';
    // No path: what the parser takes for a key after such an error may be a secret.
    return this.#problem(pos[0], '', `not valid YAML: ${text.charAt(0).toLowerCase()}${text.slice(1)}`);
  }

  /** Aliases without an anchor: YAML reads an unquoted `*:443`, which HAProxy's users write, as an alias. */
  strayAliases(): Problem[] {
    const problems: Problem[] = [];
    visit(this.#document, {
      Alias: (_, alias, ancestors) => {
        if (alias.resolve(this.#document)) return;
        const secret = ancestors.some(
          (node) => isPair(node) && isScalar(node.key) && SECRET_KEYS.has(String(node.key.value)),
        );
        const text = secret ? '*…' : `*${alias.source}`;
        const message = `${text} is a YAML alias of nothing; text that starts with * needs quotes: "${text}"`;
        problems.push(this.#problem(alias.range?.[0] ?? 0, '', message));
      },
    });
    return problems;
  }

  #problem(offset: number, path: string, message: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    const [where, what] = [printable(path), printable(message)];
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1), path: where, message: what };
  }

  /**
   * Where to point for `path`: at its value where the value is a scalar, else (or with `ofKey`) at its key. For a path
   * that the document lacks: at the key of the innermost map or list that it has.
   */
  #offset(path: Path, ofKey: boolean): number {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const key of path) {
      node = this.#resolved(node);
      if (isMap(node)) {
        const pair = this.#pair(node, key);
        if (!pair) return offset;
        if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
        node = pair.value;
      } else {
        const child: unknown = isSeq(node) ? node.items[Number(key)] : undefined;
        if (!isNode(child)) return offset;
        node = child;
        offset = child.range?.[0] ?? offset;
      }
    }
    return !ofKey && isScalar(node) && node.value !== null ? (node.range?.[0] ?? offset) : offset;
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }

  /** The pair of `key` in a map, or in a map that is merged into it: there the first has it. */
  #pair(map: YAMLMap, key: string | number, depth = 0): Pair | undefined {
    const own = map.items.findLast((item) => isScalar(item.key) && String(item.key.value) === String(key));
    // An alias of what holds it makes a circle.
    if (own || depth > DEEPEST_MERGE) return own;
    for (const source of map.items.filter(isMerge).flatMap((pair) => sourcesOf(pair, (node) => this.#resolved(node)))) {
      const merged = this.#resolved(source);
      const found = isMap(merged) ? this.#pair(merged, key, depth + 1) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  /** The dotted path of the first pair that is `wanted`, or ''. */
  #pathOf(wanted: (pair: Pair) => boolean): string {
    let found = '';
    visit(this.#document, {
      Pair: (_, pair, ancestors) => {
        if (!wanted(pair)) return undefined;
        found = dotted([...ancestors, pair]);
        return visit.BREAK;
      },
    });
    return found;
  }
}

/** A key `<<` without quotes, for which the parser has a symbol. */
function isMerge({ key }: Pair): boolean {
  return isScalar(key) && typeof key.value === 'symbol';
}

/** What a `<<` merges: one value or a list. */
function sourcesOf({ value }: Pair, resolved: (node: unknown) => unknown): unknown[] {
  const whole = resolved(value);
  return isSeq(whole) ? whole.items : [value];
}

function dotted(nodes: readonly unknown[]): string {
  return nodes.flatMap((node) => (isPair(node) && isScalar(node.key) ? [String(node.key.value)] : [])).join('.');
}
