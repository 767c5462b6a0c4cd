import { isMap, LineCounter, parseDocument, Parser, type Document } from 'yaml';
import type * as z from 'zod';
import { expandDocument, isExpanded, spelledValue, type Environment, type Expansions } from './environment.ts';
import { inOrder, Locator, type Problem } from './locate.ts';
import { isNameMap, type Path } from './rules.ts';

/** A balancer.yml has some seven levels; hundreds exhaust the stack of a parser, which V8 does not always survive. */
const DEEPEST_LEVEL = 50;

const EMPTY = 'the file is empty; it needs frontends and backends';
const READ_ONCE = 'standard input is empty; it can be read once, so a reload needs a file';

/** A file as plain values, before anybody has judged what they are. */
export type Tree = {
  readonly raw: unknown;
  readonly locate: Locator;
  /** Names that stand twice, and variables without a value: the rest of the file can be judged all the same. */
  readonly faults: readonly Problem[];
  readonly expansions: Expansions;
};

/**
 * The values of a YAML text, with the variables of `env` in place, `<<` merged, and without keys that begin with `x-`;
 * or the problems for which there are no values. Never throws.
 */
export function readTree(file: string, text: string, env: Environment): Tree | { readonly problems: Problem[] } {
  const fault = (message: string) => ({ problems: [{ file, line: 1, column: 1, path: '', message }] });
  if (nestedTooDeeply(text)) return fault(`the file is nested too deeply; it may have ${DEEPEST_LEVEL} levels`);
  const lines = new LineCounter();
  // Without `logLevel` the parser prints its warnings to standard error, and `berth check` is there to tell of them.
  // The parser compares each key with all before it: the locator finds the names that stand twice in one walk.
  const unique = { uniqueKeys: false } as const;
  const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error', merge: true, ...unique } as const;
  const document: Document = parseDocument(text, options);
  const locate = new Locator(file, document, lines);
  const faults = locate.namesTwice();
  // A tree in which a name stands twice can be judged further; after any other fault there is no whole tree.
  if (document.errors.length > 0) {
    const errors = document.errors.map((error) => locate.yamlError(error));
    return { problems: [...faults, ...errors].toSorted(inOrder) };
  }
  const stray = [...locate.strayAliases(), ...locate.strayMerges()];
  if (stray.length > 0) return { problems: stray };
  const expansions = expandDocument(document, env);
  faults.push(...expansions.faults.map(({ scalar, message }) => locate.scalarFault(scalar, message)));
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch {
    return fault('the aliases of the file expand to too much; write the values out');
  }
  if (raw === null || raw === undefined) return fault(file === '-' ? READ_ONCE : EMPTY);
  if (!isMap(document.contents)) return fault('expected a map with the keys frontends and backends');
  dropExtensions(raw, [], new Set());
  return { raw, locate, faults, expansions };
}

/**
 * Gives variables' values in `raw` the type that `issues` of a schema ask for: `maxConnections: ${MOST}` is a number,
 * and a token of digits stays a text. Returns whether anything has changed.
 */
export function retype(issues: readonly z.core.$ZodIssue[], { raw, locate, expansions }: Tree): boolean {
  let changed = false;
  for (const path of untyped(issues, [])) {
    const key = path.at(-1);
    const holder = path.slice(0, -1).reduce<unknown>((value, step) => (isHolder(value) ? value[step] : undefined), raw);
    if (key === undefined || !isHolder(holder) || !isExpanded(locate.nodeAt(path), expansions)) continue;
    const value = holder[key];
    const typed = typeof value === 'string' ? spelledValue(value) : undefined;
    if (typed === undefined) continue;
    holder[key] = typed;
    changed = true;
  }
  return changed;
}

/** Where a schema, or a form of a union, wants a number or a truth value. */
function* untyped(issues: readonly z.core.$ZodIssue[], above: Path): Generator<Path> {
  for (const issue of issues) {
    const path = [...above, ...(issue.path as Path)];
    if (issue.code === 'invalid_union') for (const form of issue.errors) yield* untyped(form, path);
    else if (issue.code === 'invalid_type' && ['number', 'int', 'boolean'].includes(issue.expected)) yield path;
    else if (issue.code === 'invalid_value' && issue.values.some((value) => typeof value === 'boolean')) yield path;
  }
}

type Holder = Record<string | number, unknown>;

function isHolder(value: unknown): value is Holder {
  return typeof value === 'object' && value !== null;
}

/** A map of names keeps them: a server may be called x-1. */
function dropExtensions(value: unknown, path: Path, seen: Set<unknown>): void {
  if (!isHolder(value) || seen.has(value)) return;
  // An alias of what holds it makes a circle.
  seen.add(value);
  for (const [key, inner] of Object.entries(value)) {
    if (key.startsWith('x-') && !Array.isArray(value) && !isNameMap(path)) delete value[key];
    else dropExtensions(inner, [...path, key], seen);
  }
}

/** Walks the tokens: the parser makes tokens without recursion, but recurses to make a document of the tokens. */
function nestedTooDeeply(text: string): boolean {
  type Part = { items?: Part[]; key?: Part | null; value?: Part };
  let level: Part[] = [...new Parser().parse(text)] as Part[];
  for (let depth = 0; level.length > 0; depth++) {
    // Every second level of tokens is a collection, and every other its items.
    if (depth > 2 * DEEPEST_LEVEL) return true;
    level = level.flatMap(({ items, key, value }) => items ?? [key ?? [], value ?? []].flat());
  }
  return false;
}
