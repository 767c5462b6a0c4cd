import { sourceIn } from './acls.ts';
import type { Condition } from './conditions.ts';
import { emptyDraft, type ProxyDraft, type Around, type FileDraft, type Rule } from './draft.ts';
import { cidrOf } from './networks.ts';
import { LISTEN, ONE_LABEL, STREAM } from './nginx-directives.ts';
import { readListen } from './nginx-listen.ts';
import { readUpstream, upstreamOf } from './nginx-upstream.ts';
import { lexNginx, type Directive } from './nginx-words.ts';
import { carried, Ledger, lost, meaningless, standard, textOf } from './outcome.ts';
import { emptyProxy } from './read-proxy.ts';
import { resultOf, type Imported } from './result.ts';
import { nginxTime, parseWhole, sourceOf, timer } from './scalars.ts';
import { vocabularyOf } from './vocabulary.ts';

/** `map $ssl_preread_server_name $NAME { … }` */
type NameMap = { readonly pattern: string; readonly to: string; readonly line: number }[];

/** Reads the `stream` block of an nginx.conf and writes the balancer.yml that does the same. Never throws. */
export function importNginx(text: string, name: string, around: Around): Imported {
  const { directives, faults } = lexNginx(text);
  if (faults.length > 0) return { kind: 'unreadable', faults, items: [] };
  const file = emptyDraft(around, new Ledger());
  const streams = directives.filter(({ words }) => words[0] === 'stream');
  // A file that nginx.conf includes has what stands between the braces of `stream`.
  const inside = streams.length > 0 ? streams.flatMap(({ block }) => block ?? []) : directives;
  for (const { words, line } of streams.length > 0 ? directives : []) {
    if (words[0] === 'stream') continue;
    const http = lost('in HTTP; Berth has TCP mode only');
    file.ledger.note(line, textOf(words), words[0] === 'http' ? http : meaningless('of the inside of nginx'));
  }
  const maps = new Map<string, NameMap>();
  for (const one of inside) if (one.words[0] === 'map') readMap(one, maps, file);
  for (const one of inside) if (one.words[0] === 'upstream') readUpstream(one, file);
  const common = inside.filter(({ words }) => !['map', 'upstream', 'server'].includes(words[0] ?? ''));
  for (const one of inside) if (one.words[0] === 'server' && one.block) readServer(one, common, maps, file);
  const used = inside.some(({ words }) => words[0] === 'server');
  if (!used) for (const one of common) note(one, file);
  return resultOf(name, file);
}

const wordOf = vocabularyOf(STREAM);

function note({ words, line }: Directive, { ledger }: FileDraft): void {
  const word = wordOf(words);
  ledger.note(line, textOf(words), word === undefined ? lost('unknown to Berth') : STREAM[word]);
}

function readMap({ words, line, block = [] }: Directive, maps: Map<string, NameMap>, { ledger }: FileDraft): void {
  const [, source = '', target = ''] = words;
  const isName = source === '$ssl_preread_server_name';
  ledger.note(line, textOf(words), isName ? STREAM.map : lost('`sni` looks at the server name alone'));
  if (!isName) return;
  const map: NameMap = [];
  const hasMasks = block.some(({ words: [word] }) => word === 'hostnames');
  for (const { words: row, line: at } of block) {
    const [pattern = '', to = ''] = row;
    if (row.length === 1)
      ledger.note(at, textOf(row), pattern === 'include' ? STREAM.include : meaningless('as always'));
    else if (pattern.startsWith('~')) ledger.note(at, textOf(row), lost('`sni` takes names, and no expressions'));
    else if (pattern === 'include') ledger.note(at, textOf(row), STREAM.include);
    else if (/^\*?\./.test(pattern) && !hasMasks)
      ledger.note(at, textOf(row), meaningless('a name without `hostnames`'));
    else {
      ledger.note(at, textOf(row), /^\*?\./.test(pattern) ? ONE_LABEL : STREAM.map);
      // `.example.com` is the name itself, and every name below.
      const patterns = pattern.startsWith('.') ? [pattern.slice(1), `*${pattern}`] : [pattern];
      map.push(...patterns.map((each) => ({ pattern: each, to, line: at })));
    }
  }
  maps.set(target, map);
}

/** Who may send a PROXY header: where nginx expects none, Berth must not either. */
function settleProxy({ acceptProxy, proxyBinds }: ProxyDraft): void {
  if (proxyBinds.length === 0) acceptProxy.length = 0;
  // Whom nginx does not believe, Berth takes no header from.
  else if (acceptProxy.length > 0) proxyBinds.length = 0;
}

function readServer(
  { block = [], line }: Directive,
  common: readonly Directive[],
  maps: ReadonlyMap<string, NameMap>,
  file: FileDraft,
): void {
  const listens = block.filter(({ words }) => words[0] === 'listen');
  if (listens.length > 0 && listens.every(({ words }) => words.includes('udp'))) {
    return file.ledger.note(line, 'server', LISTEN.udp);
  }
  // Servers of nginx have no names.
  const address = listens[0]?.words[1] ?? '';
  const name = file.proxies.freeFrontendName(`stream_${address.replace(/^.*[:/]/, '')}`);
  const section = { kind: 'frontend', name, number: line, address: '', lines: [], defaults: undefined };
  const draft = emptyProxy(section, file);
  if (!file.budget.spend(common.length, line)) return;
  // What the server says itself takes the place of what `stream` says; lists of rules do as wholes.
  const own = new Set(block.map(({ words }) => (words[0] === 'deny' ? 'allow' : words[0])));
  const inherited = common.filter(({ words }) => !own.has(words[0] === 'deny' ? 'allow' : words[0]));
  for (const one of common) if (own.has(one.words[0] === 'deny' ? 'allow' : one.words[0])) note(one, file);
  for (const one of [...inherited, ...block]) readDirective(draft, one, maps, file);
  settleProxy(draft);
  handDown(draft, file);
  file.proxies.add(draft);
  file.ledger.note(line, 'server', carried('`frontends`'));
}

/** What nginx says beside `listen` of the way to servers is in Berth said of their backend. */
function handDown(draft: ProxyDraft, { proxies, ledger }: FileDraft): void {
  const named = new Set([draft.front.scalar('backend'), ...draft.routes.map(({ backend }) => backend)]);
  for (const backend of [...named].flatMap((name) => proxies.backend(String(name)) ?? [])) {
    const connect = draft.timeouts.get('connect');
    if (connect) backend.timeouts.set('connect', connect);
    for (const key of ['sendProxy', 'retries', 'source']) {
      const [mine, there] = [draft.back.get(key), backend.back.get(key)];
      const line = mine && 'line' in mine ? mine.line : undefined;
      if (mine && there && JSON.stringify(draft.back.toJS()[key]) !== JSON.stringify(backend.back.toJS()[key])) {
        ledger.note(line ?? 0, key, lost('another server says otherwise of this upstream'));
      } else if (mine) backend.back.put(key, mine);
    }
  }
}

function readDirective(draft: ProxyDraft, one: Directive, maps: ReadonlyMap<string, NameMap>, file: FileDraft): void {
  const { words, line } = one;
  const [word = '', value = ''] = words;
  note(one, file);
  const ms = nginxTime(value);
  if (word === 'listen') readListen(draft, words, line, file);
  else if (word === 'proxy_pass') readPass(draft, one, maps, file);
  else if (word === 'allow' || word === 'deny') readAccess(draft, one, file);
  else if (word === 'preread_timeout' && ms) draft.front.set('prefaceTimeout', timer(ms), line);
  else if (word === 'proxy_timeout' && ms !== undefined) draft.timeouts.set('client', { value: ms, line });
  else if (word === 'proxy_connect_timeout' && ms !== undefined) draft.timeouts.set('connect', { value: ms, line });
  else if (word === 'set_real_ip_from' && cidrOf(value)) draft.acceptProxy.push({ value: cidrOf(value) ?? '', line });
  else if (word === 'limit_conn') {
    const most = parseWhole(words[2], 1, 10_000_000);
    if (most !== undefined) draft.front.map('perSource').set('connections', most, line);
  } else if (word === 'proxy_protocol' && value === 'on') draft.back.set('sendProxy', 'v1', line);
  else if (word === 'proxy_bind') {
    const address = sourceOf(value);
    if (address !== undefined && words.length === 2) draft.back.list('source', [{ value: address, line }]);
    else file.ledger.note(line, textOf(words), lost('`source` is a list of addresses'));
  } else if (word === 'proxy_next_upstream' && value === 'off') draft.back.set('retries', 0, line);
  else if (word === 'proxy_next_upstream_tries') {
    const tries = parseWhole(value, 1, 101);
    if (tries !== undefined) draft.back.set('retries', tries - 1, line);
  } else if (word === 'ssl_preread' && value !== 'on') file.ledger.note(line, textOf(words), standard('off'));
}

/** Where a server's connections go: an upstream, an address, or what the server name says in a map. */
function readPass(
  draft: ProxyDraft,
  { words, line }: Directive,
  maps: ReadonlyMap<string, NameMap>,
  file: FileDraft,
): void {
  const [, target = ''] = words;
  if (!target.startsWith('$')) {
    draft.front.set('backend', upstreamOf(target, line, file), line);
    return;
  }
  const map = maps.get(target.replace(/^\$\{(\w+)\}$/, '$$$1'));
  if (!map) return file.ledger.note(line, textOf(words), lost('`backend` is a name, and no variable'));
  if (!file.budget.spend(map.length, line)) return;
  for (const { pattern, to, line: at } of map) {
    const backend = upstreamOf(to, at, file);
    if (pattern === 'default') draft.front.set('backend', backend, at);
    else {
      const condition: Condition = [[{ negated: false, asked: { kind: 'serverName', patterns: [pattern] } }]];
      draft.routes.push({ condition, backend, line: { number: at, words: [pattern, to] } });
    }
  }
}

function readAccess(draft: ProxyDraft, { words, line }: Directive, { ledger }: FileDraft): void {
  const [word, value = ''] = words;
  const cidr = value === 'all' ? undefined : cidrOf(value);
  if (value !== 'all' && cidr === undefined) {
    return ledger.note(line, textOf(words), lost('`allow` and `deny` are lists of networks'));
  }
  const condition: Condition =
    cidr === undefined ? [[]] : [[{ negated: false, asked: sourceIn([{ value: cidr, cidrs: [cidr] }]) }]];
  const rule: Rule = { layer: 'connection', admits: word === 'allow', condition, line: { number: line, words } };
  draft.rules.push(rule);
}
