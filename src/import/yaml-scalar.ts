import { stringify } from 'yaml';

/** What YAML reads as the same text without quotes. Numbers begin like this too. */
const PLAIN = /^[a-z0-9/](?:[\w./@:-]*[\w./@-])?$/i;
/** Begins with a mark of YAML's, and has nothing that single quotes would not keep. */
const MARKED = /^[*[][\w./:[\]*-]*$/;
const NOT_TEXT = /^(?:true|false|null|[\d.].*e.*)$/i;
const NEEDS_ESCAPES = /[\p{Cc}\p{Cs}\u2028\u2029\ufeff]/u;
/** At the beginning of a line these part documents. */
const MARK_OF_DOCUMENTS = /^(?:---|\.\.\.)/;

/** A value as it stands in a balancer.yml, in one line. */
export function yamlScalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  if (MARKED.test(value)) return `'${value}'`;
  if (PLAIN.test(value) && !NOT_TEXT.test(value) && Number.isNaN(Number(value))) return value;
  if (NEEDS_ESCAPES.test(value) || MARK_OF_DOCUMENTS.test(value)) return JSON.stringify(value);
  return stringify(value, { lineWidth: 0, singleQuote: true }).trimEnd();
}
