import { printable } from '../config/locate.ts';
import { subject, type Item, type Verdict } from './outcome.ts';

export const VERDICTS: Record<Verdict, string> = {
  carried: 'carried',
  default: "Berth's default",
  meaningless: 'no meaning here',
  lost: 'NOT CARRIED',
};

/** `carried: `, and so on, a line for each item; what the same line of the file has in common stands together. */
export function reportLines(file: string, items: readonly Item[]): string[] {
  return joined(items).map((item) => {
    const { line, is, says } = item;
    const place = line > 0 ? `${file}:${line}` : file;
    return printable(`${place}: ${VERDICTS[is]}: ${subject(item)}: ${says.replaceAll('`', '')}`);
  });
}

/** Items of one line with one answer, as one item. */
function joined(items: readonly Item[]): Item[] {
  const groups = new Map<string, [Item, ...Item[]]>();
  for (const item of items) {
    const key = `${item.line}\n${item.of}\n${item.is}\n${item.says}`;
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return [...groups.values()].map((group) => ({ ...group[0], what: group.map(({ what }) => what).join(', ') }));
}

/** `12 carried, 3 Berth's default, …` */
export function summary(items: readonly Item[]): string {
  const verdicts = Object.keys(VERDICTS) as Verdict[];
  return verdicts
    .map((verdict) => `${items.filter(({ is }) => is === verdict).length} ${VERDICTS[verdict]}`)
    .join(', ');
}

/** The report as a page: what could not be carried comes first. */
export function reportPage(file: string, items: readonly Item[]): string {
  const order: Verdict[] = ['lost', 'carried', 'default', 'meaningless'];
  const all = joined(items);
  const sections = order.flatMap((verdict) => {
    const rows = all.filter(({ is }) => is === verdict);
    if (rows.length === 0) return [];
    const cells = rows.map((item) => `| ${item.line || ''} | ${code(subject(item))} | ${cell(item.says)} |`);
    return [`## ${VERDICTS[verdict]}\n`, '| line | | |', '| --- | --- | --- |', ...cells, ''];
  });
  return [`# From ${printable(file)}\n`, `${summary(items)}.\n`, ...sections].join('\n');
}

const cell = (text: string): string => printable(text).replaceAll('|', '\\|');
const code = (text: string): string => `\`${cell(text).replaceAll('`', "'")}\``;
