import { isAlias, isMap, isNode, isPair, isScalar, isSeq, visit, type Document, type LineCounter } from 'yaml';
import type { Finding, Path } from './rules.ts';

/** One thing that is wrong with a configuration file. Line and column count from 1. */
export type Problem = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
};

/** `FILE:LINE:COL: path: what is wrong` */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

/** Knows where in the file a path stands. */
export class Locator {
  readonly #file: string;
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(file: string, document: Document, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  finding({ path, message }: Finding): Problem {
    return this.#problem(this.#offset(path), path.join('.'), message);
  }

  yamlError({ code, message, pos }: { code: string; message: string; pos: [number, number] }): Problem {
    const path = this.#pathOfKey(pos[0]);
    if (code === 'DUPLICATE_KEY') return this.#problem(pos[0], path, 'this name stands here twice');
    const text = message.split('\n', 1)[0] ?? '';
    return this.#problem(pos[0], path, `not valid YAML: ${text.charAt(0).toLowerCase()}${text.slice(1)}`);
  }

  /** HAProxy's `bind *:443` is an alias in YAML, and one that nothing stands behind. */
  strayAliases(): Problem[] {
    const problems: Problem[] = [];
    visit(this.#document, {
      Alias: (_, alias) => {
        if (alias.resolve(this.#document)) return;
        const message = `*${alias.source} is a YAML alias of nothing; text that starts with * needs quotes: "*${alias.source}"`;
        problems.push(this.#problem(alias.range?.[0] ?? 0, '', message));
      },
    });
    return problems;
  }

  #problem(offset: number, path: string, message: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1), path, message };
  }

  /** Where the value at `path` starts; an unknown or empty one: its key; a missing one: the key of what lacks it. */
  #offset(path: Path): number {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const key of path) {
      if (isAlias(node)) node = node.resolve(this.#document);
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
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
    return isScalar(node) && node.value !== null ? (node.range?.[0] ?? offset) : offset;
  }

  /** The dotted path of the key that starts at `offset`, or ''. */
  #pathOfKey(offset: number): string {
    let found = '';
    visit(this.#document, {
      Pair: (_, pair, ancestors) => {
        if (!isScalar(pair.key) || pair.key.range?.[0] !== offset) return undefined;
        const keys = [...ancestors, pair].flatMap((one) =>
          isPair(one) && isScalar(one.key) ? [String(one.key.value)] : [],
        );
        found = keys.join('.');
        return visit.BREAK;
      },
    });
    return found;
  }
}
