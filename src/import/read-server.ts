import { isIP } from 'node:net';
import { optionsLike, type FileDraft, type ProxyDraft, type Reader, type ServerOptions } from './draft.ts';
import { SERVER } from './options.ts';
import { carried, lost, type Outcome } from './outcome.ts';
import { parseTime, parseWhole, sourceOf, splitAddress, timer, withoutEnd } from './scalars.ts';
import type { Line } from './words.ts';

type OptionReader = (reading: ServerOptions, value: string, line: number, file: FileDraft) => Outcome | undefined;

type CarriedOption = {
  [K in keyof typeof SERVER]: (typeof SERVER)[K]['is'] extends 'carried' ? K : never;
}[keyof typeof SERVER];

const checkTime =
  (key: string): OptionReader =>
  ({ check }, value, line) => {
    const ms = parseTime(value);
    if (ms === undefined || ms === 0) return lost('no duration');
    check.set(key, { value: timer(ms), line });
    return undefined;
  };
const checkCount =
  (key: string, most: number): OptionReader =>
  ({ check }, value, line) => {
    const count = parseWhole(value, 1, most);
    if (count === undefined) return lost(`Berth takes 1 to ${most}`);
    check.set(key, { value: count, line });
    return undefined;
  };
const key =
  (name: string, value: string | number | boolean): OptionReader =>
  ({ keys }, _, line) => {
    keys.set(name, value, line);
    return undefined;
  };
const checkKey =
  (name: string, value: string | number | boolean): OptionReader =>
  ({ check }, _, line) => {
    check.set(name, { value, line });
    return undefined;
  };
const checked =
  (isChecked: boolean): OptionReader =>
  (reading) => {
    reading.isChecked = isChecked;
    return undefined;
  };

/** The name of a certificate may be `str(NAME)`, as an expression of HAProxy's. */
const nameForTls: OptionReader = ({ check }, value, line) => {
  const name = /^str\((.*)\)$/.exec(value)?.[1] ?? value;
  if (!/^[\w.-]+$/.test(name)) return lost('checks send one name: `healthCheck.tls.serverName`');
  check.set('serverName', { value: name, line });
  return undefined;
};

const READERS: Record<CarriedOption, OptionReader> = {
  check: checked(true),
  'no-check': checked(false),
  inter: checkTime('interval'),
  fastinter: checkTime('fastInterval'),
  rise: checkCount('rise', 1_000),
  fall: checkCount('fall', 1_000),
  port: checkCount('port', 65_535),
  weight: ({ keys }, value, line) => {
    const weight = parseWhole(value, 0, 256);
    if (weight === undefined) return lost('a weight is 0 to 256');
    keys.set('weight', weight, line);
    return undefined;
  },
  backup: key('backup', true),
  maxconn: ({ keys }, value, line) => {
    const most = parseWhole(value, 0, 10_000_000);
    if (most === undefined) return lost('no number of connections');
    keys.set('maxConnections', most, line);
    return undefined;
  },
  slowstart: ({ keys }, value, line) => {
    const ms = parseTime(value);
    if (ms === undefined) return lost('no duration');
    keys.set('slowStart', ms === 0 ? '0s' : timer(ms), line);
    return undefined;
  },
  'send-proxy': key('sendProxy', 'v1'),
  'no-send-proxy': key('sendProxy', 'none'),
  'send-proxy-v2': key('sendProxy', 'v2'),
  'no-send-proxy-v2': key('sendProxy', 'none'),
  'send-proxy-v2-ssl': key('sendProxy', 'v2'),
  'send-proxy-v2-ssl-cn': key('sendProxy', 'v2'),
  'on-marked-down': (reading, value, line) => {
    if (value !== 'shutdown-sessions') return lost('`onServerDown` is keep or close');
    reading.closesOnDown = { value: true, line };
    return undefined;
  },
  'check-ssl': checkKey('tls', true),
  'no-check-ssl': checkKey('tls', false),
  'check-sni': nameForTls,
  verify: checkVerify,
  verifyhost: nameForTls,
  'ca-file': ({ check }, value, line, file) => {
    if (value.startsWith('@')) return undefined;
    check.set('ca', { value: file.around.locate(value.startsWith('/') ? value : file.caBase + value), line });
    return undefined;
  },
  crt: ({ check }, value, line, file) => {
    // HAProxy has the key in the file of its certificate, or beside it.
    for (const half of ['cert', 'key']) check.set(half, { value: file.around.locate(value), line });
    return undefined;
  },
  source: ({ keys }, value, line) => {
    const address = sourceOf(value);
    if (address === undefined) return lost('`source` is a list of addresses');
    keys.set('source', address, line);
    return undefined;
  },
  sni: nameForTls,
  disabled: (reading, _, line) => {
    reading.disabled = line;
    return undefined;
  },
};

function checkVerify({ check }: ServerOptions, value: string, line: number): Outcome | undefined {
  if (value !== 'none' && value !== 'required' && value !== 'optional') return lost('`verify` is none or required');
  check.set('verify', { value: value === 'required', line });
  return undefined;
}

/** `server NAME ADDRESS[:PORT] OPTION…`, or the same of a template. */
export function readServer(
  draft: ProxyDraft,
  args: readonly string[],
  line: Line,
  file: FileDraft,
): Outcome | undefined {
  const [name = '', address = '', ...options] = args;
  const place = addressOf(address);
  const read = readOptions(draft, options, line.number, file, `server ${name}`);
  if (typeof place === 'string') return lost(`${place}; the server is left out`);
  if (draft.serverNames.has(name)) return lost(`there is a server ${name} already`);
  draft.serverNames.add(name);
  draft.servers.push({ name, line: line.number, ...place, ...read });
  return undefined;
}

/** `server-template PREFIX COUNT NAME[:PORT] OPTION…` */
export function readTemplate(draft: ProxyDraft, args: readonly string[], line: Line, file: FileDraft) {
  const [prefix = '', , address = '', ...options] = args;
  const { host, port } = splitAddress(address.replace(/^ipv[46]@/, ''));
  const service = host.startsWith('_');
  if (isIP(host) !== 0 || (!service && port === undefined)) return lost('Berth finds servers by a name and its port');
  const read = readOptions(draft, options, line.number, file, `server-template ${prefix}`);
  // Its servers are called by their addresses: a dash that was to part a number from the name parts nothing.
  const name = withoutEnd(prefix, '_.:-');
  draft.serverNames.add(name);
  draft.servers.push({
    name,
    line: line.number,
    address: service ? `srv:${host}` : `dns:${host}`,
    port: service ? '' : port,
    ...read,
  });
  return carried('`servers`: as many as the name has addresses');
}

function addressOf(text: string): { address: string; port: string | undefined } | string {
  const [, scheme, rest = ''] = /^([a-z0-9+]+)@(.*)$/.exec(text) ?? [undefined, '', text];
  if (scheme === 'unix' || rest.startsWith('/')) return 'Berth connects to no unix socket';
  if (scheme !== '' && scheme !== 'ipv4' && scheme !== 'ipv6') return `Berth connects to no \`${scheme}@\` address`;
  // An IPv6 address without brackets and port has colons of its own.
  const { host, port } =
    isIP(rest) === 6 && !/:\d{4,5}$/.test(rest) ? { host: rest, port: undefined } : splitAddress(rest);
  return { address: isIP(host) === 6 ? `[${host}]` : host, port };
}

/** `default-server OPTION…`: holds for the servers below. */
export const readServerDefaults: Reader = (draft, args, { number }, file) => {
  readInto(draft.serverDefaults, args, number, file, 'default-server');
  return undefined;
};

function readOptions(
  { serverDefaults }: ProxyDraft,
  own: readonly string[],
  line: number,
  file: FileDraft,
  word: string,
): ServerOptions {
  const reading = optionsLike(serverDefaults, line);
  readInto(reading, own, line, file, word);
  return reading;
}

function readInto(reading: ServerOptions, words: readonly string[], line: number, file: FileDraft, of: string): void {
  for (let i = 0; i < words.length; i++) {
    const option = words[i] ?? '';
    const known = Object.hasOwn(SERVER, option) ? SERVER[option as keyof typeof SERVER] : undefined;
    if (!known) {
      file.ledger.note(line, option, lost('unknown option'), of);
      continue;
    }
    const value = known.takes === 1 ? (words[i + 1] ?? '') : '';
    i += known.takes;
    if (option === 'resolvers') reading.resolvers = value;
    if (option === 'ssl') reading.tls = line;
    if (option === 'no-ssl') reading.tls = undefined;
    if (option === 'enabled') reading.disabled = undefined;
    const read = Object.hasOwn(READERS, option) ? READERS[option as CarriedOption] : undefined;
    const what = `${option}${value === '' ? '' : ` ${value}`}`;
    file.ledger.note(line, what, read?.(reading, value, line, file) ?? known, of);
  }
}
