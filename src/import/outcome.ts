/** What becomes of a word of another balancer's file. */
export type Verdict = 'carried' | 'default' | 'meaningless' | 'lost';
export type Outcome = { readonly is: Verdict; readonly says: string };

export const carried = (says: string) => ({ is: 'carried', says }) as const;
/** Berth does so without being told. */
export const standard = (says: string) => ({ is: 'default', says }) as const;
/** What the word asks for does not exist in Berth, and nothing is missing without the word. */
export const meaningless = (says: string) => ({ is: 'meaningless', says }) as const;
/** Berth cannot do it: the operator has to decide. */
export const lost = (says: string) => ({ is: 'lost', says }) as const;

/** What became of `what`, which stands in `line` of the file, and may be an option of `of`. */
export type Item = Outcome & { readonly line: number; readonly of: string; readonly what: string };

const LONGEST_TEXT = 100;

/** Words as they stand in a report. */
export function textOf(words: readonly string[]): string {
  const text = words.join(' ');
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT - 1)}…` : text;
}

/** A word of `defaults` is read once for each section below; the answer that matters most to the operator stands. */
const WEIGHT: Record<Verdict, number> = { meaningless: 0, default: 1, carried: 2, lost: 3 };

/** What an item is about. */
export const subject = ({ of, what }: Item): string => (of === '' ? what : `${of}: ${what}`);

/** Every word of a file, with what became of the word. */
export class Ledger {
  readonly #items = new Map<string, Item>();

  note(line: number, what: string, { is, says }: Outcome, of = ''): void {
    const key = `${line}\n${of}\n${what}`;
    const earlier = this.#items.get(key);
    if (!earlier || WEIGHT[is] > WEIGHT[earlier.is]) this.#items.set(key, { line, of, what, is, says });
  }

  /** In the order of the file, options behind what they are options of. */
  items(): Item[] {
    return [...this.#items.values()].toSorted((a, b) => a.line - b.line || Number(a.of !== '') - Number(b.of !== ''));
  }
}
