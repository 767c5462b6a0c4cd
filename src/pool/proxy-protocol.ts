/**
 * The PROXY protocol, versions 1 and 2: the proxy in front of Berth tells who the client of a connection is, and Berth
 * tells the server behind it. "Section N" is of https://github.com/haproxy/haproxy/blob/master/doc/proxy-protocol.txt.
 */
import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';
import { ipv6Groups, normaliseAddress } from './client-key.ts';

/**
 * `address` is an IP literal, `port` 0 to 65535. parseProxyHeader spells addresses as the kernel does, so that equal
 * addresses are equal texts.
 */
export type ProxiedEndpoint = { readonly address: string; readonly port: number };

export type ProxyHeader =
  | { readonly kind: 'more' }
  | {
      readonly kind: 'header';
      /** Bytes of the header; the bytes that follow are the client's. */
      readonly length: number;
      /** `source` and `destination` are undefined where the header names no TCP client: the connection's own count. */
      readonly source: ProxiedEndpoint | undefined;
      readonly destination: ProxiedEndpoint | undefined;
    }
  | { readonly kind: 'invalid'; readonly reason: string };

/** The longest v1 line, with its CRLF (section 2.1). */
const MOST_LINE_BYTES = 107;
const V2_FIXED_BYTES = 16;
/**
 * A v2 header may claim 65551 bytes, but is meant to fit a segment of 536 bytes (section 2). Beyond, this limit leaves
 * room for TLVs such as the name of a client certificate. A stranger can make Berth hold as many bytes as this for a
 * connection.
 */
export const MOST_HEADER_BYTES = V2_FIXED_BYTES + 4_096;

const V1_START = Buffer.from('PROXY ', 'latin1');
const V2_START = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/**
 * Whether a connection that begins with `bytes` begins with a PROXY header; 'maybe' while `bytes` are too few to tell.
 */
export function looksLikeProxyHeader(bytes: Buffer): 'yes' | 'no' | 'maybe' {
  const v1 = startsWith(bytes, V1_START);
  return v1 === 'no' ? startsWith(bytes, V2_START) : v1;
}

/**
 * Reads the header at the front of `bytes`, which are all that a connection has brought so far. The result is 'more'
 * only while `bytes` can still become a valid header, and never for MOST_HEADER_BYTES or more. A reason repeats no
 * byte of the sender, so it may be logged.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsWith(bytes, V1_START) === 'yes') return parseV1(bytes);
  if (startsWith(bytes, V2_START) === 'yes') return parseV2(bytes);
  return looksLikeProxyHeader(bytes) === 'maybe' ? { kind: 'more' } : invalid('no PROXY header');
}

/**
 * The header that tells a server who its client is. A header has one family of addresses, so where one endpoint has an
 * IPv4 and the other an IPv6 address, the IPv4 address is written as an IPv4-mapped IPv6 address. Where an endpoint is
 * undefined (a unix socket), the header names nobody: v1 UNKNOWN, or v2 LOCAL. Every receiver must accept LOCAL,
 * whereas it may refuse PROXY with AF_UNSPEC (section 2.2).
 */
export function buildProxyHeader(
  version: 'v1' | 'v2',
  source: ProxiedEndpoint | undefined,
  destination: ProxiedEndpoint | undefined,
): Buffer {
  const [from, to] = [source && withoutZone(source), destination && withoutZone(destination)];
  if (!from || !to) return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : buildV2(0x20, 0x00, []);
  const family = isIPv4(from.address) && isIPv4(to.address) ? 4 : 6;
  const [fromAddress, toAddress] = [inFamily(from.address, family), inFamily(to.address, family)];
  if (version === 'v1') {
    return Buffer.from(`PROXY TCP${family} ${fromAddress} ${toAddress} ${from.port} ${to.port}\r\n`, 'latin1');
  }
  const ports = [from.port >> 8, from.port & 0xff, to.port >> 8, to.port & 0xff];
  return buildV2(0x21, family === 4 ? 0x11 : 0x21, [
    ...addressBytes(fromAddress),
    ...addressBytes(toAddress),
    ...ports,
  ]);
}

function startsWith(bytes: Buffer, start: Buffer): 'yes' | 'no' | 'maybe' {
  const shared = Math.min(bytes.length, start.length);
  for (let at = 0; at < shared; at++) if (bytes[at] !== start[at]) return 'no';
  return shared === start.length ? 'yes' : 'maybe';
}

/** A field of a v1 line. A text can still become the field if, and only if, one of `fillers` completes it. */
type Field = { readonly matches: (text: string) => boolean; readonly fillers: readonly string[] };

const IPV4: Field = {
  matches: isIPv4,
  fillers: ['', '0', '.0', '0.0', '.0.0', '0.0.0', '.0.0.0', '0.0.0.0'],
};
// Section 2.1 knows IPv6 addresses as "sets of hexadecimal digits" alone, but inet_ntop, and with it HAProxy, writes
// mapped addresses with a dotted tail.
const IPV6: Field = {
  matches: (text) => /^[\da-f:.]+$/i.test(text) && isIPv6(text),
  fillers: ['', '0', ':', '::', '.0', '0.0', '.0.0', '0.0.0', '.0.0.0'],
};
const PORT: Field = {
  matches: (text) => /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535,
  fillers: ['', '0'],
};
const LINES: ReadonlyMap<string, readonly Field[]> = new Map([
  ['TCP4', [IPV4, IPV4, PORT, PORT]],
  ['TCP6', [IPV6, IPV6, PORT, PORT]],
]);

/** The line of section 2.1. */
function parseV1(bytes: Buffer): ProxyHeader {
  const text = bytes.toString('latin1', 0, MOST_LINE_BYTES);
  const end = text.indexOf('\r\n');
  if (end !== -1) return parseLine(text.slice(0, end));
  const line = text.endsWith('\r') ? text.slice(0, -1) : text;
  if (line.length + 2 > MOST_LINE_BYTES) return invalid('v1 line does not end within 107 bytes');
  const isOpen = line === text ? canBecomeLine(line) : parseLine(line).kind === 'header';
  return isOpen ? { kind: 'more' } : invalid('malformed v1 line');
}

/** `line` is without its CRLF. */
function parseLine(line: string): ProxyHeader {
  const length = line.length + 2;
  const [, protocol = '', ...texts] = line.split(' ');
  // Section 2.1 of UNKNOWN: "the receiver must ignore anything presented before the CRLF is found".
  if (protocol === 'UNKNOWN') return { kind: 'header', length, source: undefined, destination: undefined };
  const fields = LINES.get(protocol);
  if (!fields) return invalid('malformed v1 line');
  const [from, to, fromPort, toPort] = texts;
  if (texts.length !== fields.length || !fields.every((field, i) => field.matches(texts[i] ?? ''))) {
    return invalid('malformed v1 line');
  }
  return {
    kind: 'header',
    length,
    source: endpoint(from ?? '', Number(fromPort)),
    destination: endpoint(to ?? '', Number(toPort)),
  };
}

function canBecomeLine(start: string): boolean {
  const [, protocol = '', ...texts] = start.split(' ');
  if (texts.length === 0) return ['UNKNOWN', ...LINES.keys()].some((name) => name.startsWith(protocol));
  if (protocol === 'UNKNOWN') return true;
  const fields = LINES.get(protocol) ?? [];
  return texts.every((text, i) => {
    const field = fields[i];
    if (!field) return false;
    const isLast = i === texts.length - 1;
    return isLast ? field.fillers.some((filler) => field.matches(text + filler)) : field.matches(text);
  });
}

/** The bytes of one address, by family (section 2.2). Of UNSPEC no address is read. */
const FAMILIES: ReadonlyMap<number, number> = new Map([
  [0x0, 0],
  [0x1, 4],
  [0x2, 16],
  [0x3, 108],
]);
const PORT_BYTES = 2;

/** The binary header of section 2.2. Each byte is judged as soon as it has come. */
function parseV2(bytes: Buffer): ProxyHeader {
  const [version, family] = [bytes[12], bytes[13]];
  if (version === undefined) return { kind: 'more' };
  if (version >> 4 !== 2) return invalid('v2 signature with a version other than 2');
  if (version !== 0x20 && version !== 0x21) return invalid('v2 command other than LOCAL and PROXY');
  const isLocal = version === 0x20;
  if (family === undefined) return { kind: 'more' };
  const addressSize = FAMILIES.get(family >> 4);
  const transport = family & 0xf;
  // Section 2.2: the receiver of a LOCAL header must discard the family, whatever it is.
  if (!isLocal && addressSize === undefined) return invalid('v2 address family that is not specified');
  if (!isLocal && transport > 2) return invalid('v2 transport protocol that is not specified');

  const length = V2_FIXED_BYTES + (((bytes[14] ?? 0) << 8) | (bytes[15] ?? 0));
  if (length > MOST_HEADER_BYTES) return invalid(`v2 header of more than ${MOST_HEADER_BYTES} bytes`);
  if (bytes.length < V2_FIXED_BYTES) return { kind: 'more' };
  if (!isLocal && transport !== 0 && length < V2_FIXED_BYTES + leastBody(family, addressSize ?? 0)) {
    return invalid('v2 header too short for its addresses');
  }
  if (bytes.length < length) return { kind: 'more' };
  // Berth uses the addresses of TCP over IPv4 and IPv6, and takes every other valid family for UNSPEC. TLVs follow the
  // addresses, and a receiver may skip TLVs.
  if (isLocal || (family !== 0x11 && family !== 0x21)) {
    return { kind: 'header', length, source: undefined, destination: undefined };
  }
  return { kind: 'header', length, ...v2Endpoints(bytes.subarray(V2_FIXED_BYTES, length), addressSize ?? 0) };
}

/** The bytes of two addresses and, but for unix sockets, two ports. */
function leastBody(family: number, addressSize: number): number {
  const isInternet = family >> 4 === 1 || family >> 4 === 2;
  return 2 * addressSize + (isInternet ? 2 * PORT_BYTES : 0);
}

function v2Endpoints(body: Buffer, size: number): { source: ProxiedEndpoint; destination: ProxiedEndpoint } {
  const [from, to] = [body.subarray(0, size), body.subarray(size, 2 * size)];
  return {
    source: endpoint(addressText(from), body.readUInt16BE(2 * size)),
    destination: endpoint(addressText(to), body.readUInt16BE(2 * size + PORT_BYTES)),
  };
}

function buildV2(command: number, family: number, body: readonly number[]): Buffer {
  return Buffer.concat([V2_START, Buffer.from([command, family, body.length >> 8, body.length & 0xff, ...body])]);
}

function invalid(reason: string): ProxyHeader {
  return { kind: 'invalid', reason };
}

/** SocketAddress spells addresses as `socket.remoteAddress` does (inet_ntop), so one client has one spelling. */
function endpoint(address: string, port: number): ProxiedEndpoint {
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  return { address: normaliseAddress(new SocketAddress({ address, family }).address), port };
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}

function addressBytes(address: string): number[] {
  if (isIPv4(address)) return address.split('.').map(Number);
  return ipv6Groups(address).flatMap((group) => [group >> 8, group & 0xff]);
}

/** The endpoint as a header can carry it: without the zone of `fe80::1%eth0`; undefined where it has no IP address. */
function withoutZone({ address, port }: ProxiedEndpoint): ProxiedEndpoint | undefined {
  const [bare = ''] = normaliseAddress(address).split('%');
  return isIP(bare) === 0 ? undefined : { address: bare, port };
}

function inFamily(address: string, family: 4 | 6): string {
  return family === 6 && isIPv4(address) ? `::ffff:${address}` : address;
}
