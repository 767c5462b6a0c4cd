import { isCidr } from './values.ts';

/** What stands before the path of a file of networks. */
const PREFIX = 'file:';
/** A file that was named by mistake has as many faults as lines. */
const MOST_FAULTS = 10;

export type CidrFile = {
  readonly cidrs: readonly string[];
  /** What is wrong, with its line, which counts from 1. */
  readonly faults: readonly { readonly line: number; readonly message: string }[];
};

/** The path in `file:PATH`; undefined for another text. */
export function cidrFileOf(text: string): string | undefined {
  return text.startsWith(PREFIX) && text.length > PREFIX.length ? text.slice(PREFIX.length) : undefined;
}

/** Networks, one a line; what follows a `#` is a comment. */
export function parseCidrs(text: string): CidrFile {
  const cidrs: string[] = [];
  const faults: { line: number; message: string }[] = [];
  let wrong = 0;
  for (const [i, whole] of text.split(/\r?\n/).entries()) {
    const network = (whole.split('#', 1)[0] ?? '').trim();
    if (network === '') continue;
    if (isCidr(network)) cidrs.push(network);
    else if (++wrong <= MOST_FAULTS) {
      const shown = network.length > 60 ? `${network.slice(0, 59)}…` : network;
      const message = `expected an address or a network such as 10.0.0.0/8, got ${JSON.stringify(shown)}`;
      faults.push({ line: i + 1, message });
    }
  }
  const [last] = faults.slice(-1);
  if (last && wrong > MOST_FAULTS)
    faults.push({ line: last.line, message: `and ${wrong - MOST_FAULTS} more such lines` });
  return { cidrs, faults };
}
