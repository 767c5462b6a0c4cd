import { parse } from 'yaml';
import { printable } from '../config/locate.ts';
import { crossCheck } from '../config/rules.ts';
import { schema } from '../config/schema.ts';
import { bindsCollide, parseBind } from '../config/values.ts';
import { writeBackend } from './build-backend.ts';
import { writeFrontend } from './build-frontend.ts';
import { writeTimeouts } from './build-timeouts.ts';
import { GLOBAL, RESOLVERS, SECTIONS } from './directives.ts';
import type { Around, FileDraft } from './draft.ts';
import { Outline } from './outline.ts';
import { carried, Ledger, lost, meaningless, standard, subject, type Item } from './outcome.ts';
import { lookUp, readProxy, textOf } from './read-proxy.ts';
import { parseTime, parseWhole, timer } from './scalars.ts';
import { sectionsOf, type Section } from './sections.ts';
import { lex, type Environment, type Fault } from './words.ts';

/** What came of a file: a balancer.yml and what became of each line; or why there is none. */
export type Imported =
  | { readonly kind: 'imported'; readonly yaml: string; readonly items: readonly Item[] }
  | { readonly kind: 'unreadable'; readonly faults: readonly Fault[]; readonly items: readonly Item[] };

/** Reads a haproxy.cfg and writes the balancer.yml that does the same. Never throws. `name` is what the file is called. */
export function importHaproxy(text: string, name: string, around: Around & { environment: Environment }): Imported {
  const { lines, faults, unset } = lex(text, around.environment);
  const ledger = new Ledger();
  for (const { line, name: variable } of unset) {
    ledger.note(line, `\${${variable}}`, lost('the variable is not set here: import where it is'));
  }
  const sections = sectionsOf(lines, ledger);
  const file: FileDraft = {
    around,
    ledger,
    proxies: [],
    root: new Outline(),
    taken: [],
    resolvers: new Map(),
    maxconn: undefined,
    caBase: '',
  };
  for (const section of sections) if (section.kind === 'global') readGlobal(section, file);
  for (const section of sections) readSection(section, file);
  noteUnused(sections, file);
  const root = write(file);
  const items = ledger.items();
  if (faults.length > 0) return { kind: 'unreadable', faults, items };
  if (!root) {
    const message = 'there is no frontend in TCP mode that leads to a server: nothing that Berth could do';
    return { kind: 'unreadable', faults: [{ line: 1, message }], items };
  }
  const yaml = root.toYaml(head(name, items));
  const wrong = problemsOf(yaml).map((message): Item => ({
    line: 0,
    of: '',
    what: 'balancer.yml',
    is: 'lost',
    says: message,
  }));
  return { kind: 'imported', yaml, items: [...items, ...wrong] };
}

/** A last look at the result; what it finds is a fault of the import, which the operator must hear of. */
function problemsOf(yaml: string): string[] {
  const raw: unknown = parse(yaml);
  const issues = schema.safeParse(raw).error?.issues ?? [];
  return [...issues, ...crossCheck(raw)].map(({ path, message }) => `${path.join('.')}: ${message}`);
}

function head(name: string, items: readonly Item[]): string {
  const missing = items
    .filter(({ is }) => is === 'lost')
    .map((item) => printable(`line ${item.line}: ${subject(item)}: ${item.says}`));
  return [
    `Made by berth import from ${printable(name)}; "line 1" in a comment is line 1 of that file.`,
    ...(missing.length > 0 ? ['', 'What could not be carried over:', ...missing] : []),
  ].join('\n');
}

function readGlobal({ lines }: Section, file: FileDraft): void {
  for (const { words, number } of lines) {
    const word = lookUp(GLOBAL, words[0] === 'no' ? words.slice(1) : words);
    file.ledger.note(number, textOf(words), word === undefined ? lost('unknown to Berth') : GLOBAL[word]);
    const value = words[1] ?? '';
    if (word === 'maxconn') {
      const most = parseWhole(value, 0, 10_000_000);
      if (most !== undefined) file.maxconn = { value: most, line: number };
    }
    if (word === 'ca-base') file.caBase = `${value.replace(/\/*$/, '')}/`;
    const ms = word === 'hard-stop-after' ? parseTime(value) : undefined;
    if (ms !== undefined) file.root.map('timeouts').set('drain', timer(ms), number);
  }
}

function readSection(section: Section, file: FileDraft): void {
  const { kind, name, number, lines } = section;
  const what = textOf([kind, name]);
  switch (kind) {
    case 'frontend':
    case 'backend':
    case 'listen':
      return readTcp(section, file);
    case 'resolvers':
      return readResolvers(section, file);
    case 'peers': {
      const others = lines.filter(({ words }) => words[0] === 'peer' || words[0] === 'server').length;
      const says = 'a table shared by several balancers is not available in this version';
      const alone = standard('a reload happens in the same process, and keeps its tables');
      return file.ledger.note(number, what, others > 1 ? lost(says) : alone);
    }
    case 'global':
    case 'defaults':
      return;
    default:
      if (Object.hasOwn(SECTIONS, kind)) file.ledger.note(number, what, SECTIONS[kind as keyof typeof SECTIONS]);
  }
}

/** The mode is the last that the section or its defaults say; HAProxy's own is TCP. */
function modeOf({ defaults, lines }: Section): string {
  return [...defaults, ...lines].findLast(({ words }) => words[0] === 'mode')?.words[1] ?? 'tcp';
}

function readTcp(section: Section, file: FileDraft): void {
  const { kind, name, number, lines } = section;
  const what = textOf([kind, name]);
  const mode = modeOf(section);
  if (mode === 'tcp') {
    const draft = readProxy(section, file);
    if (draft.disabled === undefined) file.proxies.push(draft);
    file.ledger.note(number, what, draft.disabled === undefined ? carried(roomOf(kind)) : meaningless('disabled'));
    return;
  }
  const isPage = !lines.some(({ words }) => ['server', 'default_backend', 'use_backend'].includes(words[0] ?? ''));
  const says = lines.some(({ words }) => words[0] === 'stats' || words.includes('prometheus-exporter'))
    ? standard('`berth status`, and `metrics` at *:9180')
    : meaningless('it leads to no server');
  file.ledger.note(number, what, isPage ? says : lost(`in ${mode} mode; Berth has TCP mode only`));
}

function roomOf(kind: string): string {
  return kind === 'listen' ? '`frontends` and `backends`' : `\`${kind}s\``;
}

function readResolvers({ name, lines, number }: Section, file: FileDraft): void {
  file.ledger.note(number, `resolvers ${name}`, standard('names are resolved again and again'));
  for (const { words, number: line } of lines) {
    const word = lookUp(RESOLVERS, words);
    const isOwn = word === 'nameserver' && (words[2] ?? '').startsWith('127.0.0.11:');
    const outcome = isOwn ? standard("Docker's own nameserver, which a container asks anyway") : undefined;
    const answer = outcome ?? (word === undefined ? lost('unknown to Berth') : RESOLVERS[word]);
    file.ledger.note(line, textOf(words), answer);
    const ms = word === 'hold valid' || word === 'timeout resolve' ? parseTime(words[2] ?? '') : undefined;
    if (ms !== undefined && ms > 0 && (word === 'hold valid' || !file.resolvers.has(name))) {
      file.resolvers.set(name, { value: ms, line });
    }
  }
}

/** Lines of `defaults` that hold for no section in TCP mode. */
function noteUnused(sections: readonly Section[], { ledger }: FileDraft): void {
  const noted = new Set(ledger.items().map(({ line }) => line));
  for (const { kind, lines } of sections) {
    if (kind !== 'defaults') continue;
    for (const { number, words } of lines) {
      if (!noted.has(number)) ledger.note(number, textOf(words), meaningless('no section in TCP mode inherits it'));
    }
  }
}

/** The file as a whole; undefined where no frontend is left. */
function write(file: FileDraft): Outline | undefined {
  const { proxies } = file;
  const root = new Outline();
  const [frontends, backends] = [root.map('frontends'), root.map('backends')];
  for (const draft of proxies) if (draft.isBackend) writeBackend(draft, backends, file);
  for (const draft of proxies) if (draft.isFrontend) writeFrontend(draft, frontends, backends, file);
  if (frontends.isEmpty || backends.isEmpty) return undefined;
  const used = proxies.filter(({ name, isBackend }) => !isBackend || backends.get(name) || frontends.get(name));
  writeTimeouts(used, root.map('timeouts'), file);
  const drain = file.root.map('timeouts').get('drain');
  if (drain) root.map('timeouts').put('drain', drain);
  writeMetrics(root, file);
  return root.withoutDefaults();
}

/** A frontend may have the port at which Berth's metrics are by default. */
function writeMetrics(root: Outline, { taken, ledger }: FileDraft): void {
  const binds = taken.flatMap(({ value }) => parseBind(value) ?? []);
  const metrics = ['*:9180', '*:9280', '*:9380'].find((text) => {
    const bind = parseBind(text);
    return bind && !binds.some((other) => bindsCollide(other, bind));
  });
  if (metrics === undefined || metrics === '*:9180') return;
  root.map('metrics').set('bind', metrics);
  ledger.note(0, 'metrics', carried(`at ${metrics}, because a frontend has port 9180`));
}
