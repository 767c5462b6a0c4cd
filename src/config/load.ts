import { isUtf8 } from 'node:buffer';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, LineCounter, parseDocument, Parser } from 'yaml';
import { explain } from './explain.ts';
import { Locator, type Problem } from './locate.ts';
import { crossCheck, type Finding, type Path } from './rules.ts';
import { LEAST_SECRET } from './scalars.ts';
import { adminSchema, schema, STANDARD_ADMIN, type AdminConfig, type Config } from './schema.ts';

/** What came of loading a file: a configuration, or at least one problem, in the order of the file. */
export type Loaded =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] };

/** A balancer.yml has some kilobytes; a larger file was named by mistake. */
const LARGEST_FILE_BYTES = 4 << 20;
/** A balancer.yml has some seven levels; hundreds exhaust the stack of a parser, which V8 does not always survive. */
const DEEPEST_LEVEL = 50;

/**
 * Reads and validates the balancer.yml named `file`, and the files that it names: a frozen Config, or everything that
 * is wrong with the file. Never throws.
 */
export function loadConfig(file: string): Loaded {
  const fault = (message: string, line = 1, column = 1): Loaded => ({
    kind: 'problems',
    problems: [{ file, line, column, path: '', message }],
  });
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    return fault(`cannot read the file: ${reason(error)}`);
  }
  if (nestedTooDeeply(text)) return fault('it is nested too deeply');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const locate = new Locator(file, document, lines);
  const faults = document.errors.map((error) => locate.yamlError(error));
  // A tree in which a name stands twice can be judged further; after any other fault there is no whole tree.
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { kind: 'problems', problems: faults };
  const strayAliases = locate.strayAliases();
  if (strayAliases.length > 0) return { kind: 'problems', problems: strayAliases };
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 });
  } catch {
    return fault('the aliases of the file expand to too much; write the values out');
  }
  if (raw === null || raw === undefined) return fault('the file is empty; it needs frontends and backends');
  if (!isMap(document.contents)) return fault('expected a map with the keys frontends and backends');
  return validate(raw, dirname(resolve(file)), locate, faults);
}

function validate(raw: unknown, folder: string, locate: Locator, faults: readonly Problem[]): Loaded {
  const parsed = schema.safeParse(raw);
  const findings = [...(parsed.error?.issues ?? []).flatMap((issue) => explain(issue, raw)), ...crossCheck(raw)];
  if (parsed.data) {
    findings.push(...readNamedFiles(parsed.data, folder));
    const { state } = parsed.data;
    if (state.file !== '') state.file = resolve(folder, state.file);
  }
  if (parsed.data && findings.length + faults.length === 0) return { kind: 'config', config: deepFreeze(parsed.data) };
  const problems = [...faults, ...findings.map((finding) => locate.finding(finding))];
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { kind: 'problems', problems };
}

/**
 * Reads the files that the configuration names, once and here, so that a wrong name is reported with its line, and not
 * by a health check that fails later.
 */
function* readNamedFiles(config: Config, folder: string): Generator<Finding> {
  for (const [name, { healthCheck: check }] of Object.entries(config.backends)) {
    if (check === false) continue;
    const path = ['backends', name, 'healthCheck'];
    const { ca, cert, key } = check.tls === false ? {} : check.tls;
    const password = check.storage === false ? undefined : check.storage.passwordFile;
    yield* readNamed(ca, folder, [...path, 'tls', 'ca'], certificates);
    yield* readNamed(cert, folder, [...path, 'tls', 'cert'], certificates);
    yield* readNamed(key, folder, [...path, 'tls', 'key'], (text) => keyOf(cert?.content ?? '', text));
    yield* readNamed(password, folder, [...path, 'storage', 'passwordFile'], firstLine);
  }
  yield* readNamed(config.admin?.tokenFile, folder, ['admin', 'tokenFile'], secret);
}

type NamedFile = { readonly file: string; content: string };

function* readNamed(
  named: NamedFile | undefined,
  folder: string,
  path: Path,
  use: (text: string) => string,
): Generator<Finding> {
  if (!named) return;
  try {
    named.content = use(readText(resolve(folder, named.file)));
  } catch (error) {
    yield { path, message: `cannot be used: ${reason(error)}` };
  }
}

function certificates(text: string): string {
  try {
    void new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new Error('it holds no PEM certificate', { cause });
  }
}

/** The private key in `text`, which must belong to `cert`, the content of the file of the certificate, if that is good. */
function keyOf(cert: string, text: string): string {
  let key;
  try {
    key = createPrivateKey(text);
  } catch (cause) {
    const encrypted = /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text);
    throw new Error(encrypted ? 'its key has a passphrase, and Berth takes none' : 'it holds no PEM private key', {
      cause,
    });
  }
  if (cert !== '' && !new X509Certificate(cert).checkPrivateKey(key))
    throw new Error('its key does not belong to the certificate in cert');
  return text;
}

/** The first line, which must be long enough: a token from an empty file would let everybody in. */
function secret(text: string): string {
  const line = firstLine(text).trim();
  if (line.length < LEAST_SECRET) throw new Error(`its first line has less than ${LEAST_SECRET} characters`);
  return line;
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? '';
}

/**
 * The value of `admin` (or its default), even where the rest of the file is wrong; undefined where the value cannot be
 * read. Never throws.
 */
export function loadAdmin(file: string): AdminConfig | undefined {
  try {
    const text = readText(file);
    if (nestedTooDeeply(text)) return undefined;
    // Without `logLevel` the parser prints its warnings to standard error, and `berth check` is there to tell of them.
    const document = parseDocument(text, { logLevel: 'error' });
    const { admin = STANDARD_ADMIN } = adminSchema.parse(document.toJS({ maxAliasCount: 100 }));
    const { tokenFile } = admin;
    if (tokenFile) tokenFile.content = secret(readText(resolve(dirname(resolve(file)), tokenFile.file)));
    return admin;
  } catch {
    return undefined;
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

/** Throws an Error with a `code` where the file cannot be read, and without where it is too large or is not UTF-8. */
function readText(file: string): string {
  const { size } = statSync(file);
  if (size > LARGEST_FILE_BYTES) throw new Error(`it is larger than ${LARGEST_FILE_BYTES >> 20} MiB`);
  const bytes = readFileSync(file);
  if (!isUtf8(bytes)) throw new Error('it is not UTF-8 text');
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
  };
  return known[code ?? ''] ?? message;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}
