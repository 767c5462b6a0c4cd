/** Manual pages in roff, with the macros of man(7), which groff and mandoc both know. */

export type Page = {
  readonly name: string;
  readonly section: 1 | 5;
  /** What the page's NAME says behind the dash. */
  readonly summary: string;
  /** Stands at the foot: the program and its version. */
  readonly source: string;
  readonly date: Date;
  readonly blocks: readonly string[];
};

/** What begins a line or a request, or is drawn as another sign unless it is spelled out (groff_char(7)). */
const SPELLED: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
};

/** A text as it is: nothing in it is a request, and signs beyond ASCII are named. */
export function plain(text: string): string {
  return text
    .replaceAll(/[-\\'`^~]/g, (sign) => SPELLED[sign] ?? sign)
    .replaceAll(
      /[^\n -~]/gu,
      (sign) => `\\[u${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    )
    .replaceAll(/^\./gm, '\\&.');
}

export const bold = (text: string): string => `\\fB${plain(text)}\\fR`;
export const italic = (text: string): string => `\\fI${plain(text)}\\fR`;
/** A sentence in which `backticks` mark what is typed. */
export const marked = (text: string): string =>
  text
    .split('`')
    .map((part, i) => (i % 2 === 0 ? plain(part) : bold(part)))
    .join('');

export const section = (title: string): string => `.SH ${title.toUpperCase()}`;
export const subsection = (title: string): string => `.SS ${plain(title)}`;
export const paragraph = (text: string): string => `.PP\n${text}`;
/** A term, and below it what it means. */
export const entry = (term: string, text: string): string => `.TP\n${term}\n${text}`;
export const example = (text: string): string => `.PP\n.in +4n\n.EX\n${plain(text)}\n.EE\n.in`;

export function manual({ name, section: number, summary, source, date, blocks }: Page): string {
  const day = date.toISOString().slice(0, 10);
  const head = `.TH ${plain(name)} ${number} ${day} "${plain(source)}"`;
  const text = [head, section('Name'), `${plain(name)} \\- ${plain(summary)}`, ...blocks].join('\n');
  // The first paragraph of a section begins by itself.
  return `${text.replaceAll(/^(\.S[HS] .*)\n\.PP\n(?!\.in)/gm, '$1\n')}\n`;
}
