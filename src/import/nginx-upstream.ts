import { noOptions, type FileDraft, type ProxyDraft } from './draft.ts';
import { UPSTREAM, UPSTREAM_SERVER } from './nginx-directives.ts';
import type { Directive } from './nginx-words.ts';
import { Outline } from './outline.ts';
import { lost, textOf } from './outcome.ts';
import { emptyProxy } from './read-proxy.ts';
import { nginxTime, parseWhole, splitAddress, timer } from './scalars.ts';
import { vocabularyOf } from './vocabulary.ts';

const wordOf = vocabularyOf(UPSTREAM);

function emptyUpstream(name: string, line: number, file: FileDraft): ProxyDraft {
  return emptyProxy({ kind: 'backend', name, number: line, address: '', lines: [], defaults: undefined }, file);
}

/** `upstream NAME { … }` */
export function readUpstream({ words: [, name = ''], line, block = [] }: Directive, file: FileDraft): void {
  const draft = emptyUpstream(name, line, file);
  for (const { words, line: at } of block) {
    const word = wordOf(words);
    file.ledger.note(at, textOf(words), word === undefined ? lost('unknown to Berth') : UPSTREAM[word]);
    if (word === 'server') readServer(draft, words, at, file);
    if (word === 'least_conn') draft.back.set('balance', 'leastconn', at);
    if (word === 'random') draft.back.set('balance', 'random', at);
    if (word === 'hash') {
      const bySource = ['$remote_addr', '$binary_remote_addr', '$proxy_protocol_addr'].includes(words[1] ?? '');
      if (bySource) draft.back.set('balance', 'source', at);
      else
        file.ledger.note(
          at,
          textOf(words),
          lost('`balance: source` hashes the address of the client, and nothing else'),
        );
    }
  }
  file.ledger.note(line, `upstream ${name}`, { is: 'carried', says: '`backends`' });
  file.proxies.add(draft);
}

function readServer(draft: ProxyDraft, words: readonly string[], line: number, { ledger }: FileDraft): void {
  const [, address = '', ...parameters] = words;
  const keys = new Outline(line);
  let disabled: number | undefined;
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=', 2);
    const known = Object.hasOwn(UPSTREAM_SERVER, name)
      ? UPSTREAM_SERVER[name as keyof typeof UPSTREAM_SERVER]
      : undefined;
    ledger.note(line, parameter, known ?? lost('unknown parameter'), `server ${address}`);
    if (name === 'weight') keys.set('weight', parseWhole(value, 0, 256), line);
    if (name === 'max_conns') keys.set('maxConnections', parseWhole(value, 0, 10_000_000), line);
    if (name === 'backup') keys.set('backup', true, line);
    const ms = name === 'slow_start' ? nginxTime(value) : undefined;
    if (ms) keys.set('slowStart', timer(ms), line);
    if (name === 'down') disabled = line;
  }
  addServer(draft, address, line, { keys, disabled }, ledger);
}

function addServer(
  draft: ProxyDraft,
  address: string,
  line: number,
  { keys, disabled }: { keys: Outline; disabled: number | undefined },
  ledger: FileDraft['ledger'],
): void {
  if (address.startsWith('unix:')) {
    return ledger.note(line, `server ${address}`, lost('left out: Berth connects to no unix socket'));
  }
  const { host, port } = splitAddress(address);
  draft.servers.push({
    name: `s${draft.servers.length + 1}`,
    line,
    address: host.includes(':') ? `[${host}]` : host,
    port: port ?? '80',
    ...noOptions(line),
    isChecked: true,
    keys,
    disabled,
  });
}

/** The backend of an upstream's name, or of an address, for which a backend is made. */
export function upstreamOf(target: string, line: number, file: FileDraft): string {
  let upstream = file.proxies.backend(target);
  if (!upstream && target.includes(':')) {
    upstream = emptyUpstream(target, line, file);
    addServer(upstream, target, line, { keys: new Outline(line), disabled: undefined }, file.ledger);
    file.proxies.add(upstream);
  }
  return target;
}
