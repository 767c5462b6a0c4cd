import { dirname, resolve } from 'node:path';
import type { Environment } from './environment.ts';
import { explain } from './explain.ts';
import { foreignFile } from './foreign.ts';
import { inOrder, type Problem } from './locate.ts';
import { readCidrFiles, readNamedFiles, readText, reason, secret, type Files, type Reading } from './named-files.ts';
import { crossCheck, type Finding } from './rules.ts';
import { adminSchema, schema, STANDARD_ADMIN, type AdminConfig, type Config } from './schema.ts';
import { readTree, retype, type Tree } from './tree.ts';
import { warnings } from './warnings.ts';

/** What came of loading a file: a configuration, or at least one problem, in the order of the file. */
export type Loaded =
  | {
      readonly kind: 'config';
      readonly config: Config;
      /** What is allowed and probably not meant. */
      readonly warnings: readonly Problem[];
      /** Where in the file a further finding is. */
      readonly place: (finding: Finding) => Problem;
    }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] };

/**
 * Reads and validates the balancer.yml named `file` (`-` is standard input), with the variables of `env`, and the files
 * that it names: a frozen Config, or everything that is wrong with the file. Never throws.
 */
export function loadConfig(file: string, env: Environment = process.env, read: Reading = readText): Loaded {
  let text: string;
  try {
    text = read(file);
  } catch (error) {
    const message = `cannot read the file: ${reason(error)}`;
    return { kind: 'problems', problems: [{ file, line: 1, column: 1, path: '', message }] };
  }
  return loadText(text, file, file, env, read);
}

/**
 * The same for a text that stands in no file: problems call it `name`, and the files that it names lie where those of
 * the file `beside` lie.
 */
export function loadText(
  text: string,
  name: string,
  beside: string,
  env: Environment = process.env,
  read: Reading = readText,
): Loaded {
  const foreign = foreignFile(text);
  if (foreign !== undefined) {
    const message = `this is ${foreign}; "berth import FILE" prints the balancer.yml that does the same`;
    return { kind: 'problems', problems: [{ file: name, line: 1, column: 1, path: '', message }] };
  }
  const tree = readTree(name, text, env);
  if ('problems' in tree) return { kind: 'problems', problems: tree.problems };
  return validate(tree, { folder: dirname(resolve(beside)), read });
}

function validate(tree: Tree, files: Files): Loaded {
  const { raw, locate, faults, expansions } = tree;
  let parsed = schema.safeParse(raw);
  if (parsed.error && retype(parsed.error.issues, tree)) parsed = schema.safeParse(raw);
  const findings = [...(parsed.error?.issues ?? []).flatMap((issue) => explain(issue, raw)), ...crossCheck(raw)];
  if (parsed.data) {
    findings.push(...readNamedFiles(parsed.data, files), ...readCidrFiles(parsed.data, files));
    const { state } = parsed.data;
    if (state.file !== '') state.file = resolve(files.folder, state.file);
  }
  const place = (finding: Finding): Problem => locate.finding(finding);
  const found = (all: readonly Finding[]): Problem[] => all.map(place);
  if (parsed.data && findings.length + faults.length === 0) {
    const config = deepFreeze(parsed.data);
    return { kind: 'config', config, warnings: found(warnings(config)).toSorted(inOrder), place };
  }
  // Of a value whose variable has no value nothing more can be said.
  const unknown = new Set<unknown>(expansions.faults.map(({ scalar }) => scalar));
  const known = findings.filter(({ path }) => !unknown.has(locate.nodeAt(path)));
  // A fault that has its line in another file comes after those of this file.
  const [own, others] = [known.filter(({ within }) => !within), known.filter(({ within }) => within)];
  return { kind: 'problems', problems: [...[...faults, ...found(own)].toSorted(inOrder), ...found(others)] };
}

/**
 * The value of `admin` (or its default), even where the rest of the file is wrong; undefined where the value cannot be
 * read. Never throws.
 */
export function loadAdmin(file: string, env: Environment = process.env): AdminConfig | undefined {
  try {
    const tree = readTree(file, readText(file), env);
    if ('problems' in tree) return undefined;
    const { admin = STANDARD_ADMIN } = adminSchema.parse(tree.raw);
    const { tokenFile } = admin;
    if (tokenFile) tokenFile.content = secret(readText(resolve(dirname(resolve(file)), tokenFile.file)));
    return admin;
  } catch {
    return undefined;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}
