/** The words that `berth init` is given: servers as `NAME=ADDRESS`, or an address alone. */
import { name as nameScalar } from '../config/scalars.ts';
import { NAME_RULE, parseBind, parseServerAddress } from '../config/values.ts';

/** `address` is as the operator wrote it, which is how balancer.yml takes it. */
export type GivenServer = { readonly name: string; readonly address: string };
export type Given =
  | { readonly kind: 'servers'; readonly servers: readonly GivenServer[] }
  | { readonly kind: 'fault'; readonly fault: string };

/** An address alone is called s1, s2, … by its place, or by the next number where another server has that name. */
export function readServers(words: readonly string[]): Given {
  if (words.length === 0) return fault('init needs the servers: berth init s1=10.0.0.1:5000 s2=10.0.0.2:5000');
  const given = words.map(split);
  const names = new Set(given.flatMap(({ name }) => name ?? []));
  const servers: GivenServer[] = [];
  const addresses = new Map<string, string>();
  for (const [i, { name = freeName(i + 1, names), address }] of given.entries()) {
    if (!nameScalar().safeParse(name).success) return fault(`${JSON.stringify(name)} is no name: ${NAME_RULE}`);
    const wrong = addressFault(name, address);
    if (wrong !== undefined) return fault(wrong);
    const other = addresses.get(address.toLowerCase());
    if (other !== undefined) return fault(`${name} has the address of ${other}, ${address}`);
    if (servers.some((server) => server.name === name)) return fault(`two servers are called ${name}`);
    names.add(name);
    addresses.set(address.toLowerCase(), name);
    servers.push({ name, address });
  }
  return { kind: 'servers', servers };
}

/** What is wrong with the servers or with `--bind`; undefined where nothing is. */
export function initFault(words: readonly string[], bind: string | boolean | undefined): string | undefined {
  const given = readServers(words);
  if (given.kind === 'fault') return given.fault;
  if (typeof bind !== 'string' || parseBind(bind)) return undefined;
  return `--bind takes *:PORT, ADDRESS:PORT, [IPv6]:PORT or unix:/PATH, not ${bind}`;
}

/** Neither a name nor an address has a `=`. */
function split(word: string): { readonly name?: string; readonly address: string } {
  const at = word.indexOf('=');
  return at < 0 ? { address: word } : { name: word.slice(0, at), address: word.slice(at + 1) };
}

function freeName(place: number, taken: ReadonlySet<string>): string {
  let number = place;
  while (taken.has(`s${number}`)) number++;
  return `s${number}`;
}

function addressFault(name: string, address: string): string | undefined {
  if (parseServerAddress(address)) return undefined;
  const [, scheme] = /^(https?:\/\/)/i.exec(address) ?? [];
  if (scheme !== undefined) return `${name}: an address has no ${scheme} before it, and a port: ${name}=HOST:PORT`;
  if (parseServerAddress(`${address}:5000`)) return `${name}: ${address} has no port: ${name}=${address}:5000`;
  return `${name}: ${JSON.stringify(address)} is no HOST:PORT, [IPv6]:PORT, dns:NAME:PORT or srv:NAME`;
}

function fault(text: string): Given {
  return { kind: 'fault', fault: text };
}
