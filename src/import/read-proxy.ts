import { Conditions } from './conditions.ts';
import { PROXY } from './directives.ts';
import { ProxyDraft, type FileDraft, type Reader } from './draft.ts';
import { carried, lost, meaningless, standard, textOf } from './outcome.ts';
import { readBind } from './read-bind.ts';
import { readConnect, readExpect, readHelloCheck, readHttpCheck, readHttpSend } from './read-checks.ts';
import { readAcl, readExpectProxy, readInspectDelay, readRoute, readRule, readTrack } from './read-rules.ts';
import { readServer, readServerDefaults, readTemplate } from './read-server.ts';
import { parseTime, parseWhole, prefixOf, sourceOf } from './scalars.ts';
import type { Defaults, Section } from './sections.ts';
import { vocabularyOf } from './vocabulary.ts';
import type { Line } from './words.ts';

type Word = keyof typeof PROXY;
type CarriedWord = { [K in Word]: (typeof PROXY)[K]['is'] extends 'carried' ? K : never }[Word];

const timeout =
  (name: string): Reader =>
  (draft, [text = ''], { number }) => {
    const ms = parseTime(text);
    if (ms === undefined) return lost('no duration');
    draft.timeouts.set(name, { value: ms, line: number });
    return undefined;
  };

const READERS: Record<CarriedWord, Reader> = {
  bind: readBind,
  maxconn: (draft, [text], { number }) => {
    const most = parseWhole(text, 0, 10_000_000);
    if (most === undefined) return lost('no number of connections');
    draft.front.set('maxConnections', most, number);
    return undefined;
  },
  default_backend: (draft, [name = ''], { number }) => {
    draft.front.set('backend', name, number);
    return undefined;
  },
  use_backend: readRoute,
  acl: readAcl,
  'tcp-request inspect-delay': readInspectDelay,
  'tcp-request connection accept': readRule('connection', true),
  'tcp-request connection reject': readRule('connection', false),
  'tcp-request connection silent-drop': readRule('connection', false),
  'tcp-request connection expect-proxy': readExpectProxy,
  'tcp-request connection track-sc*': readTrack,
  'tcp-request session accept': readRule('session', true),
  'tcp-request session reject': readRule('session', false),
  'tcp-request session track-sc*': readTrack,
  'tcp-request content accept': readRule('content', true),
  'tcp-request content reject': readRule('content', false),
  'tcp-request content silent-drop': readRule('content', false),
  'tcp-request content track-sc*': readTrack,
  balance: readBalance,
  'hash-type': (_, [how]) =>
    how === 'consistent' ? undefined : carried('`balance: source`, which hashes consistently'),
  'stick-table': readTable,
  'stick on': readStick,
  'stick match': readStick,
  'stick store-request': readStick,
  source: (draft, [text = '', ...more], { number }) => {
    const address = sourceOf(text);
    if (address !== undefined) draft.back.list('source', [{ value: address, line: number }]);
    if (more.length > 0) return lost('servers see the address of Berth; `sendProxy` tells them the client');
    return address === undefined ? lost('`source` is a list of addresses') : undefined;
  },
  server: readServer,
  'server-template': readTemplate,
  'default-server': readServerDefaults,
  retries: (draft, [text], { number }) => {
    const retries = parseWhole(text, 0, 100);
    if (retries === undefined) return lost('`retries` is 0 to 100');
    draft.back.set('retries', retries, number);
    return undefined;
  },
  'option httpchk': readHttpCheck,
  'http-check send': readHttpSend,
  'http-check expect': readExpect,
  'http-check connect': readConnect,
  'tcp-check connect': readConnect,
  'option ssl-hello-chk': readHelloCheck,
  contimeout: timeout('connect'),
  clitimeout: timeout('client'),
  srvtimeout: timeout('server'),
  'timeout connect': timeout('connect'),
  'timeout client': timeout('client'),
  'timeout server': timeout('server'),
  'timeout tunnel': timeout('tunnel'),
  'timeout client-fin': timeout('client-fin'),
  'timeout server-fin': timeout('server-fin'),
  'clitcpka-idle': timeout('keepAlive'),
  'srvtcpka-idle': timeout('keepAlive'),
  grace: timeout('grace'),
  'timeout queue': timeout('queue'),
  'timeout check': timeout('check'),
  disabled: (draft, _, { number }) => {
    draft.disabled = number;
    return undefined;
  },
};

const wordOf = vocabularyOf(PROXY);

/** Reads a frontend, backend or listen in TCP mode, which begins as its `defaults` have it. */
export function readProxy(section: Section, file: FileDraft): ProxyDraft {
  const draft = emptyProxy(section, file, readDefaults(section.defaults, file));
  for (const line of section.lines) readLine(draft, line, file);
  // HAProxy 1.4 took the address beside the name.
  if (section.address !== '') readBind(draft, [section.address], { number: section.number, words: [] }, file);
  return draft;
}

export function emptyProxy(section: Section, { around, budget }: FileDraft, base?: ProxyDraft): ProxyDraft {
  const draft = new ProxyDraft(section, new Conditions(around, budget));
  if (base) draft.inherit(base, budget);
  return draft;
}

/** What `defaults` say, with those that they are made from: each is read once, however many are made from it. */
function readDefaults(defaults: Defaults | undefined, file: FileDraft): ProxyDraft | undefined {
  const unread: Defaults[] = [];
  let next = defaults;
  for (; next && !file.defaults.has(next); next = next.from) unread.push(next);
  let draft = next && file.defaults.get(next);
  for (const one of unread.toReversed()) {
    const head = { kind: 'defaults', name: '', number: one.number, address: '', lines: one.lines, defaults: one.from };
    draft = emptyProxy(head, file, draft);
    for (const line of one.lines) readLine(draft, line, file);
    file.defaults.set(one, draft);
  }
  return draft;
}

/** What HAProxy takes in no `defaults`. */
const NOT_IN_DEFAULTS: ReadonlySet<string> = new Set(
  ['bind', 'use_backend', 'stick-table', 'stick on', 'stick match', 'stick store-request', 'server'].concat(
    'server-template',
  ),
);

function readLine(draft: ProxyDraft, line: Line, file: FileDraft): void {
  if (file.budget.fault) return;
  const { words, number } = line;
  const [first = '', ...rest] = words;
  const what = textOf(words);
  // `no option X` switches off what a `defaults` has switched on; `default option X` asks for HAProxy's own.
  if ((first === 'no' && rest[0] !== 'log') || first === 'default') {
    return file.ledger.note(number, what, meaningless('switches off'));
  }
  // Only who is in TCP mode comes here.
  if (first === 'mode' && rest[0] !== 'tcp') return file.ledger.note(number, what, meaningless('of other sections'));
  const word = wordOf(words);
  if (word === undefined) return file.ledger.note(number, what, lost('unknown to Berth'));
  if (draft.section.kind === 'defaults' && NOT_IN_DEFAULTS.has(word)) {
    return file.ledger.note(number, what, lost('HAProxy takes no such line in `defaults`'));
  }
  const args = words.slice(word.split(' ').length);
  const reader = Object.hasOwn(READERS, word) ? READERS[word as CarriedWord] : undefined;
  file.ledger.note(number, what, reader?.(draft, args, line, file) ?? PROXY[word]);
}

function readBalance(draft: ProxyDraft, [policy = '', sample]: readonly string[], { number }: Line) {
  const name = policy.replace(/\(.*$/, '');
  const known: Record<string, string> = {
    roundrobin: 'roundrobin',
    'static-rr': 'roundrobin',
    leastconn: 'leastconn',
    random: 'random',
    source: 'source',
  };
  if (name === 'hash') {
    if (sample !== 'src')
      return lost('`balance: source` hashes the address of the client; roundrobin stands in its place');
    draft.back.set('balance', 'source', number);
    return undefined;
  }
  if (!Object.hasOwn(known, name)) return lost(`Berth has no \`balance ${name}\`; roundrobin stands in its place`);
  draft.back.set('balance', known[name], number);
  return undefined;
}

/** `stick-table type ip size 200k expire 30m store conn_rate(10s),conn_cur` */
function readTable(draft: ProxyDraft, args: readonly string[], { number }: Line) {
  const after = (word: string): string | undefined => {
    const i = args.indexOf(word);
    return i < 0 ? undefined : args[i + 1];
  };
  const windows = new Map<string, number>();
  for (const [i, word] of args.entries()) {
    if (args[i - 1] !== 'store') continue;
    for (const [, counter = '', window = ''] of word.matchAll(/(\w+)\((\w+)\)/g)) {
      windows.set(counter, parseTime(window) ?? 0);
    }
  }
  const type = after('type') ?? '';
  const hasPeers = args.includes('peers');
  draft.table = { line: number, type, size: after('size'), expire: after('expire'), hasPeers, windows };
  return undefined;
}

/** `stick on src[,ipmask(24)] [table T]` */
function readStick(draft: ProxyDraft, [sample = '', ...words]: readonly string[], line: Line) {
  const table = words[0] === 'table' ? words[1] : undefined;
  const condition = table === undefined ? words : words.slice(2);
  const prefix = prefixOf(sample);
  draft.stick ??= { line: line.number, text: textOf(line.words), table, prefix: prefix ?? {} };
  if (!prefix)
    return lost(
      sample.startsWith('dst')
        ? 'a client is bound by its own address; for one server at a time, make the others `backup`'
        : `a client is bound by its address, not by \`${textOf([sample])}\``,
    );
  return condition.length > 0 ? lost('every client of a backend is bound') : standardTable(table);
}

function standardTable(table: string | undefined) {
  return table === undefined ? undefined : standard('each backend has a table of its own');
}
