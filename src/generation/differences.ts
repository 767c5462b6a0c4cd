import { SECRET_KEYS } from '../config/rules.ts';
import { formatDiscovered, formatDuration, formatEndpoint, type Discovered, type Endpoint } from '../config/values.ts';

/** A value of the configuration that two generations have differently, by its path, with dots. */
export type Difference = { readonly path: string; readonly before: unknown; readonly after: unknown };

/** Values that are milliseconds in the configuration. */
const DURATIONS =
  /^(connect|idle|halfClosed|queue|drain|lameDuck|keepAlive|expire|slowStart)$|[iI]nterval$|[tT]imeout$/;
/** A longer list is counted instead. */
const MOST_LETTERS = 120;

type Tree = Readonly<Record<string, unknown>>;

/** What differs, the smallest parts of it. Parts that a reload shares are one object, and are not looked into. */
export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (Object.is(before, after)) return [];
  if (!isMap(before) || !isMap(after) || isOne(before) || isOne(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
  }
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
}

/** `timeouts.idle: 10m -> 5m`, one after another. No secret and no content of a file is said. */
export function formatDifferences(all: readonly Difference[]): string {
  return all.map(formatted).join('; ');
}

function formatted({ path, before, after }: Difference): string {
  const keys = path.split('.');
  const label = path === '' ? '' : `${path}: `;
  if (keys.some((key) => SECRET_KEYS.has(key))) return `${path} is another`;
  const [was, is] = [said(before, keys.at(-1)), said(after, keys.at(-1))];
  if (was === is) return isMap(after) && 'content' in after ? `the content of ${is} is another` : `${path} is another`;
  return before === undefined ? `${label}${is}` : `${label}${was} -> ${is}`;
}

function isMap(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A map that stands for one value: an address, a bind, a file. */
function isOne(value: Tree): boolean {
  return ['host', 'discover', 'text', 'file', 'windowMs'].some((key) => key in value);
}

function said(value: unknown, key = ''): string {
  if (value === undefined) return 'not set';
  if (typeof value === 'number' && DURATIONS.test(key)) return formatDuration(value);
  if (typeof value !== 'object' || value === null) return `${value as string | number | boolean | null}`;
  if (Array.isArray(value)) {
    const text = value.map((one) => said(one)).join(' ');
    return text.length > MOST_LETTERS ? `${value.length} entries` : `[${text}]`;
  }
  if ('discover' in value) return formatDiscovered(value as Discovered);
  if ('text' in value) return String(value.text);
  if ('file' in value) return String(value.file);
  if ('host' in value) return formatEndpoint(value as Endpoint);
  if ('windowMs' in value && 'count' in value)
    return `${String(value.count)}/${formatDuration(Number(value.windowMs))}`;
  const secret = (name: string, one: unknown): boolean => SECRET_KEYS.has(name) && one !== false;
  const entries = Object.entries(value).map(([name, one]) => `${name}: ${secret(name, one) ? 'set' : said(one, name)}`);
  const text = `{ ${entries.join(', ')} }`;
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS - 1)}…` : text;
}
