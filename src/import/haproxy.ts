import { GLOBAL, RESOLVERS, SECTIONS } from './directives.ts';
import { emptyDraft, type Around, type FileDraft } from './draft.ts';
import { UNIX_BIND } from './options.ts';
import { carried, Ledger, lost, meaningless, standard, textOf, type Outcome } from './outcome.ts';
import { readProxy } from './read-proxy.ts';
import { resultOf, type Imported } from './result.ts';
import { parseTime, parseWhole, timer, withoutEnd } from './scalars.ts';
import { modeOf, sectionsOf, type Section } from './sections.ts';
import { vocabularyOf } from './vocabulary.ts';
import { lex, type Environment } from './words.ts';

const globalWordOf = vocabularyOf(GLOBAL);
const resolversWordOf = vocabularyOf(RESOLVERS);

const NO_SECTION = { line: 1, message: 'no section begins here, such as `frontend` or `listen`: no haproxy.cfg' };

/** Reads a haproxy.cfg and writes the balancer.yml that does the same. Never throws. `name` is that of the file. */
export function importHaproxy(text: string, name: string, around: Around & { environment: Environment }): Imported {
  const { lines, faults, unset } = lex(text, around.environment);
  if (faults.length > 0) return { kind: 'unreadable', faults, items: [] };
  const ledger = new Ledger();
  for (const { line, name: variable } of unset) {
    ledger.note(line, `\${${variable}}`, lost('the variable is not set here: import where it is'));
  }
  const sections = sectionsOf(lines, ledger);
  if (sections.length === 0) return { kind: 'unreadable', faults: [NO_SECTION], items: [] };
  const file = emptyDraft(around, ledger);
  for (const section of sections) if (section.kind === 'global') readGlobal(section, file);
  for (const section of sections) if (file.budget.fault === undefined) readSection(section, file);
  noteUnused(sections, file);
  noteTimeouts(file);
  return resultOf(name, file, around.stateFile);
}

function readGlobal({ lines }: Section, file: FileDraft): void {
  for (const { words, number } of lines) {
    const word = globalWordOf(words[0] === 'no' ? words.slice(1) : words);
    file.ledger.note(number, textOf(words), word === undefined ? lost('unknown to Berth') : GLOBAL[word]);
    const value = words[1] ?? '';
    if (word === 'maxconn') {
      const most = parseWhole(value, 0, 10_000_000);
      if (most !== undefined) file.maxconn = { value: most, line: number };
    }
    if (word === 'ca-base') file.caBase = `${withoutEnd(value, '/')}/`;
    const ms = parseTime(value);
    const timeouts = file.root.map('timeouts');
    if (word === 'hard-stop-after' && ms !== undefined) timeouts.set('drain', timer(ms), number);
    if (word === 'grace' && ms !== undefined && ms > 0) timeouts.set('lameDuck', timer(ms), number);
    if (word === 'unix-bind') readUnixBind(words.slice(1), number, file);
  }
}

/** `unix-bind prefix PATH mode MODE group NAME`: what every unix socket has that says nothing else. */
function readUnixBind(options: readonly string[], line: number, file: FileDraft): void {
  for (let i = 0; i < options.length; i += 2) {
    const [option = '', value = ''] = options.slice(i, i + 2);
    if (option === 'prefix') file.unixPrefix = value;
    const known = Object.hasOwn(UNIX_BIND, option) ? UNIX_BIND[option as keyof typeof UNIX_BIND] : undefined;
    file.ledger.note(line, textOf([option, value]), known ?? lost('unknown option'), 'unix-bind');
  }
  file.unixBind = options;
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
      const says = '`stickTable.shared` is one table for several balancers, in a Redis that they all reach';
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

function readTcp(section: Section, file: FileDraft): void {
  const { kind, name, number, lines } = section;
  const what = textOf([kind, name]);
  // HAProxy's own mode is TCP.
  const mode = modeOf(lines) ?? section.defaults?.mode ?? 'tcp';
  if (mode === 'tcp') {
    const draft = readProxy(section, file);
    if (draft.disabled === undefined) file.proxies.add(draft);
    file.ledger.note(number, what, draft.disabled === undefined ? carried(roomOf(kind)) : meaningless('disabled'));
    return;
  }
  file.ledger.note(number, what, ofOtherMode(lines, mode));
}

/** A section in HTTP mode leads to servers, shows HAProxy itself, or answers by itself. */
function ofOtherMode(lines: Section['lines'], mode: string): Outcome {
  const has = (...some: string[]): boolean => lines.some(({ words }) => some.includes(words[0] ?? ''));
  if (has('server', 'server-template', 'default_backend', 'use_backend', 'dispatch')) {
    return lost(`in ${mode} mode; Berth has TCP mode only`);
  }
  const isPage = has('stats') || lines.some(({ words }) => words.includes('prometheus-exporter'));
  if (isPage) return standard('`berth status`, and `metrics` at *:9180');
  if (has('redirect', 'http-request', 'monitor-uri', 'errorfile')) {
    return lost('it answers HTTP by itself, which Berth does not: its clients would find nobody');
  }
  return meaningless('it leads to no server');
}

function roomOf(kind: string): string {
  return kind === 'listen' ? '`frontends` and `backends`' : `\`${kind}s\``;
}

function readResolvers({ name, lines, number }: Section, file: FileDraft): void {
  file.ledger.note(number, `resolvers ${name}`, standard('names are resolved again and again'));
  for (const { words, number: line } of lines) {
    const word = resolversWordOf(words);
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

/** HAProxy itself warns of a section that never ends a silent connection. */
function noteTimeouts({ proxies, ledger }: FileDraft): void {
  const used = proxies.all.filter(({ isFrontend, servers }) => isFrontend || servers.length > 0);
  if (used.some(({ timeouts }) => timeouts.has('tunnel'))) return;
  for (const [side, name] of [
    ['isFrontend', 'client'],
    ['isBackend', 'server'],
  ] as const) {
    const without = used.find((draft) => draft[side] && !draft.timeouts.has(name));
    if (!without) continue;
    const says = 'where it is not said HAProxy waits for ever, and Berth for `timeouts.idle`, which is 10m';
    ledger.note(without.section.number, `timeout ${name}`, standard(says));
  }
}
