/** Finds the key of a table that words begin with; undefined where there is none. */
export type Vocabulary<W extends string> = (words: readonly string[]) => W | undefined;

const MOST_WORDS = 3;

/** A longer key is looked for before a shorter one; `*` at the end of a key stands for any ending. */
export function vocabularyOf<T extends object>(table: T): Vocabulary<keyof T & string> {
  const open: { begin: string; key: keyof T & string }[][] = Array.from({ length: MOST_WORDS + 1 }, () => []);
  for (const key of Object.keys(table) as (keyof T & string)[]) {
    if (key.endsWith('*')) open[key.split(' ').length]?.push({ begin: key.slice(0, -1), key });
  }
  return (words) => {
    for (let count = Math.min(MOST_WORDS, words.length); count > 0; count--) {
      const begin = words.slice(0, count).join(' ');
      if (Object.hasOwn(table, begin)) return begin as keyof T & string;
      const found = open[count]?.find((one) => begin.startsWith(one.begin));
      if (found) return found.key;
    }
    return undefined;
  };
}
