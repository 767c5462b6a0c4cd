/** Tables and lines for a terminal or a pipe. Whatever goes into a line passes `printable`. */
import { printable } from '../config/locate.ts';

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const;
export type Style = keyof typeof CODES;
/** A text, and how it is to look where there are colours. */
export type Cell = string | { readonly text: string; readonly style: Style };

/** What is written on: a terminal so many columns wide, or a pipe, which takes lines of any width. */
export type Paper = { readonly columns: number; readonly colour: boolean };

/** Standard output as Node has it: on a pipe it has neither. */
type Stream = { readonly isTTY?: boolean; readonly columns?: number };

/** The paper of a stream: colours on a terminal alone, by the environment as other programs take it. */
export function paperOf(stream: Stream, env: NodeJS.ProcessEnv = process.env): Paper {
  const { isTTY: terminal = false, columns = 0 } = stream;
  return { columns: terminal && columns > 0 ? columns : Infinity, colour: wantsColour(terminal, env) };
}

/** FORCE_COLOR wins over NO_COLOR, as in Node itself. An empty NO_COLOR says nothing (no-color.org). */
function wantsColour(terminal: boolean, env: NodeJS.ProcessEnv): boolean {
  const { FORCE_COLOR: force, NO_COLOR: no = '', TERM: term } = env;
  if (force !== undefined) return force !== '0' && force !== 'false';
  return terminal && no === '' && term !== 'dumb';
}

/** The text of a cell in its style. */
export function paint(cell: Cell, { colour }: Paper): string {
  if (typeof cell === 'string') return printable(cell);
  return colour ? `\x1b[${CODES[cell.style]}m${printable(cell.text)}\x1b[0m` : printable(cell.text);
}

/** Cells one after the other, as one line that a terminal does not break. */
export function line(cells: readonly Cell[], paper: Paper): string {
  let left = paper.columns;
  return cells
    .map((cell) => {
      const text = cut(printable(textOf(cell)), left);
      left -= width(text);
      return paint(typeof cell === 'string' ? text : { ...cell, text }, paper);
    })
    .join('');
}

export type Column<Row> = {
  readonly title: string;
  readonly cell: (row: Row) => Cell;
  readonly align?: 'right';
  /** The column may be cut to this width where the terminal is too narrow. */
  readonly least?: number;
  /** The column is left out where the terminal is still too narrow, the highest number first. */
  readonly rank?: number;
};

const GAP = '  ';

/** Lines up rows below titles. A table that gets its rows in portions widens its columns as they need. */
export class Table<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #paper: Paper;
  readonly #indent: string;
  #widths: readonly number[];
  #begun = false;

  constructor(columns: readonly Column<Row>[], paper: Paper, indent = '') {
    this.#columns = columns;
    this.#paper = paper;
    this.#indent = indent;
    this.#widths = columns.map(({ title }) => width(title));
  }

  /** The lines of further rows, with the titles above the first. */
  lines(rows: readonly Row[]): string[] {
    const cells = rows.map((row) =>
      this.#columns.map(({ cell }): Cell => {
        const made = cell(row);
        const text = printable(textOf(made));
        return typeof made === 'string' ? text : { ...made, text };
      }),
    );
    this.#widths = this.#widths.map((least, i) => Math.max(least, ...cells.map((row) => width(textOf(row[i] ?? '')))));
    const shown = this.#fitted();
    const titles = this.#columns.map(({ title }): Cell => ({ text: title, style: 'dim' }));
    const all = this.#begun ? cells : [titles, ...cells];
    this.#begun = true;
    return all.map((row) => this.#line(row, shown));
  }

  #line(row: readonly Cell[], widths: readonly (number | undefined)[]): string {
    const parts = this.#columns.flatMap(({ align }, i) => {
      const room = widths[i];
      if (room === undefined) return [];
      const cell = row[i] ?? '';
      const text = cut(textOf(cell), room);
      const pad = ' '.repeat(Math.max(0, room - width(text)));
      const painted = paint(typeof cell === 'string' ? text : { ...cell, text }, this.#paper);
      return [align === 'right' ? pad + painted : painted + pad];
    });
    return `${this.#indent}${parts.join(GAP)}`.trimEnd();
  }

  /**
   * The width of each column that has a place; undefined for a column that is left out. Columns are cut first; where
   * that is not enough, a column goes, and the others are as wide as then can be.
   */
  #fitted(): (number | undefined)[] {
    const leavable = this.#columns
      .flatMap(({ rank }, i) => (rank === undefined ? [] : [{ rank, i }]))
      .toSorted((a, b) => a.rank - b.rank);
    const kept: (number | undefined)[] = [...this.#widths];
    for (;;) {
      const widths = this.#cutDown(kept);
      const next = this.#excess(widths) > 0 ? leavable.pop() : undefined;
      if (!next) return widths;
      kept[next.i] = undefined;
    }
  }

  #cutDown(kept: readonly (number | undefined)[]): (number | undefined)[] {
    const widths = [...kept];
    // The last first: what a server is called is told better by a whole name than why it is down by a whole sentence.
    for (const [i, { least }] of [...this.#columns.entries()].toReversed()) {
      const now = widths[i];
      const excess = this.#excess(widths);
      if (least === undefined || now === undefined || excess <= 0) continue;
      widths[i] = Math.max(Math.min(now, least), now - excess);
    }
    return widths;
  }

  /** By how many columns a line would be wider than the paper. */
  #excess(widths: readonly (number | undefined)[]): number {
    const kept = widths.filter((one) => one !== undefined);
    const gaps = GAP.length * Math.max(0, kept.length - 1);
    return kept.reduce((sum, one) => sum + one, this.#indent.length + gaps) - this.#paper.columns;
  }
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

const NARROW = /^[\x20-\x7e]*$/;
const NO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/** East Asian wide characters and emoji (Unicode's annex 11), by their blocks. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]$/u;
const WIDE_BEYOND = /^[\p{Emoji_Presentation}\u{20000}-\u{3fffd}]$/u;

/** How many columns of a terminal a text takes. */
export function width(text: string): number {
  if (NARROW.test(text)) return text.length;
  let sum = 0;
  for (const character of text) sum += widthOf(character);
  return sum;
}

function widthOf(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  return WIDE.test(character) || WIDE_BEYOND.test(character) ? 2 : 1;
}

/** At most so many columns of a text; a text that is cut ends in `…`. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let [kept, taken] = ['', 0];
  for (const character of text) {
    const own = widthOf(character);
    if (taken + own > columns - 1) break;
    kept += character;
    taken += own;
  }
  return columns < 1 ? '' : `${kept}…`;
}
