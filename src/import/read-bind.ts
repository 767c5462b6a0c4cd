import { isIP } from 'node:net';
import { parseBind, parseMode } from '../config/values.ts';
import type { FileDraft, ProxyDraft } from './draft.ts';
import { BIND } from './options.ts';
import { carried, lost, meaningless } from './outcome.ts';
import { parseWhole, splitAddress } from './scalars.ts';
import type { Line } from './words.ts';

const MOST_PORTS = 64;
/** A bind is looked at again and again: when it is read, written, and checked. */
export const STEPS_OF_A_BIND = 20;

/** `bind ADDRESS[,ADDRESS…] OPTION…` */
export function readBind(
  draft: ProxyDraft,
  [addresses = '', ...options]: readonly string[],
  line: Line,
  file: FileDraft,
) {
  const { ledger } = file;
  for (let i = 0; i < options.length; i++) {
    const option = options[i] ?? '';
    const known = Object.hasOwn(BIND, option) ? BIND[option as keyof typeof BIND] : undefined;
    if (!known) {
      ledger.note(line.number, option, lost('unknown option'), 'bind');
      continue;
    }
    ledger.note(line.number, options.slice(i, i + 1 + known.takes).join(' '), known, 'bind');
    i += known.takes;
  }
  const v6only = options.includes('v6only');
  // What the line says itself stands first.
  const ofSocket = socketOptions([...options, ...file.unixBind]);
  let outcome;
  for (const address of addresses.split(',')) {
    const binds = bindsOf(address, v6only, file.unixPrefix);
    if (typeof binds === 'string') {
      outcome = lost(binds);
      continue;
    }
    if (!file.budget.spend(binds.length * STEPS_OF_A_BIND, line.number)) break;
    for (const bind of binds) {
      outcome = addBind(draft, bind, line.number) ?? outcome;
      if (bind.startsWith('unix:')) draft.socketOptions.set(bind, ofSocket);
    }
  }
  if (options.includes('defer-accept')) draft.front.set('waitForClient', true, line.number);
  if (options.includes('ssl')) draft.tlsBinds.push(line.number);
  if (options.includes('accept-proxy')) draft.proxyBinds.push(line.number);
  return outcome;
}

function socketOptions(options: readonly string[]): [string, string | number][] {
  const after = (word: string): string | undefined =>
    options.includes(word) ? options[options.indexOf(word) + 1] : undefined;
  const mode = parseMode(after('mode') ?? '')
    ?.toString(8)
    .padStart(4, '0');
  const group = after('group') ?? parseWhole(after('gid'), 0, 65_535);
  return Object.entries({ mode, group }).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}

export function addBind({ binds, colliding }: ProxyDraft, text: string, line: number) {
  const bind = parseBind(text);
  if (!bind) return lost(`${text} is no address that Berth binds`);
  const wide = bind.kind === 'tcp' && bind.host === '*';
  const earlier = colliding.colliding(bind);
  if (!earlier) {
    const added = { value: text, line };
    binds.add(added);
    colliding.add(bind, added);
    return wide ? carried("`bind`; Berth's `*` is IPv4 and IPv6") : undefined;
  }
  if (wide && parseBind(earlier.value)?.text !== text) {
    // The wider of the two takes the place of all that it collides with.
    for (const other of colliding.take(bind)) if (other !== earlier) binds.delete(other);
    earlier.value = text;
    colliding.add(bind, earlier);
  }
  return meaningless(`the bind of line ${earlier.line} takes these clients too`);
}

/** The binds of one address of HAProxy's; or why there are none. */
function bindsOf(address: string, v6only: boolean, unixPrefix: string): string[] | string {
  const [, scheme, rest = ''] = /^([a-z0-9+]+)@(.*)$/.exec(address) ?? [undefined, '', address];
  if (scheme === 'unix' || (scheme === '' && rest.startsWith('/'))) return [`unix:${unixPrefix}${rest}`];
  if (scheme !== '' && scheme !== 'ipv4' && scheme !== 'ipv6') return `Berth binds no \`${scheme}@\` addresses`;
  const { host, port } = splitAddress(rest);
  const [, from = '', to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(port ?? '') ?? [];
  if (from === '') return `${address} has no port`;
  const count = Number(to) - Number(from) + 1;
  if (count < 1 || count > MOST_PORTS) return `a range of ${count} ports; Berth binds each port by itself`;
  const name = hostOf(scheme, host, v6only);
  return Array.from({ length: count }, (_, i) => `${name}:${Number(from) + i}`);
}

/** The host of Berth's bind: HAProxy's `::` takes IPv4 too, unless it is told otherwise. */
function hostOf(scheme: string, host: string, v6only: boolean): string {
  if (host !== '' && host !== '*' && host !== '::') return isIP(host) === 6 ? `[${host}]` : host;
  if (scheme === 'ipv6' || (host === '::' && v6only)) return '[::]';
  return scheme === 'ipv4' ? '0.0.0.0' : '*';
}
