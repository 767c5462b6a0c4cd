import { isIP, isIPv4, SocketAddress } from 'node:net';

/**
 * Where a listener binds: a TCP address (`host` `*` is dual stack; an IPv6 address has its shortest spelling), or a
 * unix socket. `text` is what the operator wrote. `reusePort` lets other sockets of the same user have the port too;
 * `mode` and `group` say who may connect to a unix socket.
 */
export type Bind =
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly text: string;
      readonly reusePort?: boolean;
    }
  | {
      readonly kind: 'unix';
      readonly path: string;
      readonly text: string;
      readonly mode?: number | undefined;
      readonly group?: string | number | undefined;
    };

/** Where a server is. `host` is an IP literal, without brackets, or a name that is resolved while Berth runs. */
export type Endpoint = { readonly host: string; readonly port: number };
/** Where to connect to, and from which address of this machine; undefined leaves that to the kernel. */
export type Route = Endpoint & { readonly localAddress?: string | undefined };

/** Servers that DNS names: every address behind a name, or behind the targets of a service (RFC 2782). */
export type Discovered =
  | { readonly discover: 'dns'; readonly name: string; readonly port: number }
  | { readonly discover: 'srv'; readonly name: string };

/** The error text for the names of frontends, backends and servers. */
export const NAME_RULE = 'a name starts with a letter or digit and goes on with letters, digits and _ . : -';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `500ms`, `2s`, `30m`, `1h`, `7d` in milliseconds; undefined for a text that is no duration. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined) return undefined;
  return Math.round(Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]);
}

/** The shortest spelling of a duration: 2000 is `2s`, 1500 is `1500ms`. */
export function formatDuration(ms: number): string {
  const units = Object.entries(UNIT_MS).toReversed();
  const [unit, size] = units.find(([, each]) => ms >= each && ms % each === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

/** `1000`, `200k` = 200 000, `1m` = 1 000 000 (HAProxy's k is 1024); undefined for a value that is no size. */
export function parseSize(value: string | number): number | undefined {
  const [, amount, unit] = /^(\d{1,9})([km]?)$/.exec(String(value)) ?? [];
  if (amount === undefined) return undefined;
  return Number(amount) * { '': 1, k: 1_000, m: 1_000_000 }[unit as '' | 'k' | 'm'];
}

/** `20/10s`: 20 at once, and then as many in each ten seconds; undefined for a text that is no rate. */
export function parseRate(text: string): { count: number; windowMs: number } | undefined {
  const [, count, window] = /^(\d{1,9})\/(\w+)$/.exec(text) ?? [];
  const windowMs = parseDuration(window ?? '');
  return count !== undefined && windowMs ? { count: Number(count), windowMs } : undefined;
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*\.?$/i;

function parsePort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  return port <= 65_535 ? port : undefined;
}

/** Splits `HOST:PORT` and `[IPv6]:PORT`; the host comes back without brackets. */
function splitHostPort(text: string): Endpoint | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text) ?? [];
  const port = parsePort(portText ?? '');
  if (port === undefined) return undefined;
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? { host: bracketed, port } : undefined;
  return { host: plain ?? '', port };
}

/** Whether `host` is an IP address or a host name; `10.0.0.256` is neither. */
export function isHost(host: string): boolean {
  return isIP(host) !== 0 || (HOST_NAME.test(host) && !/^[\d.]+$/.test(host));
}

/** `*:443`, `:443`, `10.0.0.1:443`, `[::]:443`, `localhost:443`, `unix:/run/berth.sock`; undefined for another text. */
export function parseBind(text: string): Bind | undefined {
  // The path must fit sun_path: 108 bytes with the closing zero (unix(7)).
  const path = /^unix:(\/.*)$/s.exec(text)?.[1];
  if (path !== undefined) return Buffer.byteLength(path) < 108 ? { kind: 'unix', path, text } : undefined;
  const split = splitHostPort(text);
  if (!split) return undefined;
  const host = split.host === '' ? '*' : split.host;
  return host === '*' || isHost(host) ? { kind: 'tcp', host: canonicalHost(host), port: split.port, text } : undefined;
}

/** `0660` or `660`: permissions in octal digits; undefined for another text. */
export function parseMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** Whether other machines can reach a bind: the bind is neither a unix socket nor a loopback address. */
export function isOpen(bind: Bind): boolean {
  if (bind.kind === 'unix') return false;
  const { host } = bind;
  return host !== 'localhost' && host !== '::1' && !(isIPv4(host) && host.startsWith('127.'));
}

/** The text that all spellings of a bind have in common; parseBind reads it as the same bind. */
export function bindKey(bind: Bind): string {
  return bind.kind === 'unix' ? `unix:${bind.path}` : formatEndpoint(bind);
}

/** One spelling for each host: lower case, IPv6 at its shortest, IPv4-mapped IPv6 as IPv4. */
export function canonicalHost(host: string): string {
  if (isIP(host) !== 6) return host.toLowerCase();
  const [literal = '', zone] = host.split('%');
  const { address } = new SocketAddress({ address: literal, family: 'ipv6' });
  return (zone === undefined ? address : `${address}%${zone}`).replace(/^::ffff:(?=[\d.]+$)/, '');
}

/** `registry1:5000`, `10.0.0.1:5000`, `[2001:db8::1]:5000`; undefined for another text. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const split = splitHostPort(text);
  return split && split.port > 0 && isHost(split.host) ? split : undefined;
}

/** What `parseEndpoint` takes, `dns:registry.internal:5000`, or `srv:_registry._tcp.example.com`. */
export function parseServerAddress(text: string): Endpoint | Discovered | undefined {
  const [, discover, rest = ''] = /^(dns|srv):(.*)$/.exec(text) ?? [];
  // A host may be called dns or srv: then a port, and nothing else, follows the colon.
  if (discover === undefined || /^\d+$/.test(rest)) return parseEndpoint(text);
  if (discover === 'srv') return HOST_NAME.test(rest) ? { discover, name: rest } : undefined;
  const endpoint = parseEndpoint(rest);
  return endpoint && isIP(endpoint.host) === 0
    ? { discover: 'dns', name: endpoint.host, port: endpoint.port }
    : undefined;
}

/** `HOST:PORT`, an IPv6 address in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** As the operator writes it. */
export function formatDiscovered(address: Discovered): string {
  return address.discover === 'srv'
    ? `srv:${address.name}`
    : `dns:${formatEndpoint({ host: address.name, port: address.port })}`;
}

/**
 * Whether `text` is a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address. A link-local network may have a
 * zone: `fe80::1%eth0`, `fe80::%eth0/64` (RFC 4007, section 11.7).
 */
export function isCidr(text: string): boolean {
  const [address = '', prefix, more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more !== undefined || (address.includes('%') && !/^fe[89ab]/i.test(address))) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

/**
 * Whether the kernel would refuse the second of two listeners: both have one unix path, or one port on the same
 * address or on addresses of which one covers the other. `*` covers all addresses, `0.0.0.0` and `::` those of their
 * own family. Port 0 never collides, because the kernel then chooses a free port.
 */
export function bindsCollide(a: Bind, b: Bind): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return a.kind === 'unix' && b.kind === 'unix' && a.path === b.path;
  if (a.port !== b.port || a.port === 0) return false;
  return a.host === b.host || covers(a.host, b.host) || covers(b.host, a.host);
}

function covers(wildcard: string, host: string): boolean {
  if (wildcard === '*') return true;
  return (wildcard === '0.0.0.0' && isIP(host) === 4) || (wildcard === '::' && isIP(host) === 6);
}

/** Where the doctor begins its uploads, unless it is told otherwise. */
export const DOCTOR_REPOSITORY = 'berth-doctor/probe';
/** The grammar of the OCI distribution specification ("Pulling manifests", `<name>`). */
const REPOSITORY_NAME = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/;
/** The doctor makes up names below the one it is given, and a registry takes 255 characters. */
const LONGEST_REPOSITORY = 200;

export function isDoctorRepository(name: string): boolean {
  return name.length <= LONGEST_REPOSITORY && REPOSITORY_NAME.test(name);
}
