/**
 * The server name in the first message of a TLS connection, read without decrypting: RFC 8446 (TLS 1.3, whose sections
 * 4.1.2 and 5.1 hold for the earlier versions too) and RFC 6066 section 3.
 */
import { isIPv4 } from 'node:net';

export type ClientHello =
  | { readonly kind: 'more' }
  /**
   * `serverName` is in lower case, without a trailing dot; undefined where the hello has no server name, has more than
   * one, or has a server name that is no DNS name.
   */
  | { readonly kind: 'hello'; readonly serverName: string | undefined }
  | { readonly kind: 'not-tls' };

/**
 * A hello with two post-quantum key shares and a session ticket has some 4 KiB. A stranger can make Berth hold as many
 * bytes as this for a connection.
 */
export const MOST_HELLO_BYTES = 32 << 10;

const HANDSHAKE_RECORD = 22;
const RECORD_HEADER_BYTES = 5;
const MOST_RECORD_BYTES = 1 << 14;
const CLIENT_HELLO = 1;
const MESSAGE_HEADER_BYTES = 4;
/** Version 2, random 32, session id 1 + 0, one cipher suite 2 + 2, one compression method 1 + 1. */
const LEAST_BODY_BYTES = 41;
const SERVER_NAME_EXTENSION = 0;
const HOST_NAME = 0;

/**
 * Reads the ClientHello at the front of `bytes`, which are all that a connection has brought so far. The result is
 * 'more' only while the framing (record headers, message type, version and length) can still become a ClientHello
 * within MOST_HELLO_BYTES. The inside of the message is judged when the message is whole.
 *
 * Calling this again after each segment is cheap: until the message is whole, only record headers are looked at and
 * nothing is copied. A real client sends one or two records. The worst client sends 5,461 records (of one byte each,
 * six bytes on the wire), which take some 30 microseconds; to receive a segment takes about 10. The inside is copied
 * and walked once.
 */
export function parseClientHello(bytes: Buffer): ClientHello {
  const framed = frameMessage(bytes.subarray(0, MOST_HELLO_BYTES));
  if (framed.kind !== 'whole') return framed;
  const body = messageBytes(bytes, framed.length).subarray(MESSAGE_HEADER_BYTES);
  return readBody(new Reader(body)) ?? NOT_TLS;
}

/**
 * What `names` hold for `serverName`: the entry of this name, else the entry of the wildcard for its first label. The
 * wildcard `*.example.com` is for a.example.com, but neither for example.com nor for a.b.example.com (RFC 9525 section
 * 6.3). `names` are in lower case.
 */
export function sniMatch<T>(names: Pick<ReadonlyMap<string, T>, 'get'>, serverName: string): T | undefined {
  const name = serverName.toLowerCase();
  const dot = name.indexOf('.');
  return names.get(name) ?? (dot > 0 ? names.get(`*${name.slice(dot)}`) : undefined);
}

const NOT_TLS = { kind: 'not-tls' } as const;

type Framing =
  | { readonly kind: 'more' }
  | { readonly kind: 'not-tls' }
  /** `length` is the message's, with its header. */
  | { readonly kind: 'whole'; readonly length: number };

/** Walks the record headers (RFC 8446 section 5.1) until the records behind them can hold the whole message. */
function frameMessage(bytes: Buffer): Framing {
  const head = new MessageHead();
  let length = MESSAGE_HEADER_BYTES + LEAST_BODY_BYTES;
  let promised = 0;
  let at = 0;
  while (promised < length && at + RECORD_HEADER_BYTES <= bytes.length) {
    const size = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    // A record's version "MUST be ignored for all purposes"; its first byte is 3 from SSL 3.0 to TLS 1.3. No handshake
    // record is empty.
    if (bytes[at] !== HANDSHAKE_RECORD || bytes[at + 1] !== 3 || size === 0 || size > MOST_RECORD_BYTES) return NOT_TLS;
    at += RECORD_HEADER_BYTES;
    if (promised < MessageHead.BYTES) {
      head.take(bytes.subarray(at, at + size));
      if (head.isForeign()) return NOT_TLS;
      length = head.length ?? length;
    }
    promised += size;
    at += size;
  }
  // Where the message needs a further record, `end` is the least that the whole can have.
  const end = at + length - promised + (promised < length ? RECORD_HEADER_BYTES : 0);
  if (end > MOST_HELLO_BYTES || (promised < length && !canBecomeRecord(bytes, at))) return NOT_TLS;
  return promised >= length && end <= bytes.length ? { kind: 'whole', length } : { kind: 'more' };
}

/** Whether the first bytes of a record header, which `bytes` have from `at` on, can become a record of a handshake. */
function canBecomeRecord(bytes: Buffer, at: number): boolean {
  const [type = HANDSHAKE_RECORD, major = 3, , high = 0] = bytes.subarray(at);
  return type === HANDSHAKE_RECORD && major === 3 && high << 8 <= MOST_RECORD_BYTES;
}

/**
 * The first bytes of the message: its type, its length, and the first byte of its version. Each byte may come in a
 * record of its own.
 */
class MessageHead {
  static readonly BYTES = MESSAGE_HEADER_BYTES + 1;
  readonly #bytes: number[] = [];

  /** The length of the message with its header; undefined while it has not come. */
  get length(): number | undefined {
    const [, high, middle, low] = this.#bytes;
    if (high === undefined || middle === undefined || low === undefined) return undefined;
    return MESSAGE_HEADER_BYTES + ((high << 16) | (middle << 8) | low);
  }

  take(payload: Buffer): void {
    this.#bytes.push(...payload.subarray(0, MessageHead.BYTES - this.#bytes.length));
  }

  /** Whether no ClientHello begins with these bytes. */
  isForeign(): boolean {
    const [type = CLIENT_HELLO, high = 0, middle = 0, , major = 3] = this.#bytes;
    if (type !== CLIENT_HELLO || major !== 3 || ((high << 16) | (middle << 8)) > MOST_HELLO_BYTES) return true;
    return this.length !== undefined && this.length < MESSAGE_HEADER_BYTES + LEAST_BODY_BYTES;
  }
}

/** The first `length` bytes that the records carry. The caller knows that `bytes` has them all. */
function messageBytes(bytes: Buffer, length: number): Buffer {
  const message = Buffer.allocUnsafe(length);
  let have = 0;
  for (let at = 0; have < length;) {
    const size = bytes.readUInt16BE(at + 3);
    at += RECORD_HEADER_BYTES;
    have += bytes.copy(message, have, at, at + size);
    at += size;
  }
  return message;
}

/** Takes numbers and vectors (RFC 8446 section 3.4) off the front of `bytes`; undefined where they are cut short. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  skip(count: number): void {
    this.#at += count;
  }

  uint(width: 1 | 2): number | undefined {
    if (this.left < width) return undefined;
    this.#at += width;
    return this.#bytes.readUIntBE(this.#at - width, width);
  }

  /** A vector of `least` to `most` bytes, whose length stands before it in `width` bytes. */
  vector(width: 1 | 2, least: number, most = 0xffff): Buffer | undefined {
    const length = this.uint(width);
    if (length === undefined || length < least || length > most || length > this.left) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** The body of a ClientHello (RFC 8446 section 4.1.2); undefined where a length does not hold. */
function readBody(body: Reader): ClientHello | undefined {
  body.skip(2 + 32);
  const sessionId = body.vector(1, 0, 32);
  const cipherSuites = body.vector(2, 2, 0xfffe);
  const compressionMethods = body.vector(1, 1);
  if (!sessionId || !cipherSuites || cipherSuites.length % 2 !== 0 || !compressionMethods) return undefined;
  // A hello of TLS 1.2 or earlier may have no extensions at all (RFC 5246 section 7.4.1.2).
  if (body.left === 0) return { kind: 'hello', serverName: undefined };
  const extensions = body.vector(2, 0);
  if (!extensions || body.left > 0) return undefined;

  const names: string[] = [];
  for (const reader = new Reader(extensions); reader.left > 0;) {
    const type = reader.uint(2);
    const data = reader.vector(2, 0);
    if (!data) return undefined;
    if (type !== SERVER_NAME_EXTENSION) continue;
    const found = hostNames(new Reader(data));
    if (!found) return undefined;
    names.push(...found);
  }
  // RFC 6066 section 3: "MUST NOT contain more than one name of the same name_type". Servers differ in which of several
  // names they take, so Berth takes none of them.
  const [name] = names;
  return { kind: 'hello', serverName: name !== undefined && names.length === 1 ? dnsName(name) : undefined };
}

/** The host names of a ServerNameList (RFC 6066 section 3); undefined where a length does not hold. */
function hostNames(data: Reader): string[] | undefined {
  const list = data.vector(2, 1);
  if (!list || data.left > 0) return undefined;
  const names: string[] = [];
  for (const reader = new Reader(list); reader.left > 0;) {
    const type = reader.uint(1);
    // RFC 6066 section 3: names of future types must begin with a 16-bit length too, so they can be skipped.
    const name = reader.vector(2, 1);
    if (!name) return undefined;
    if (type === HOST_NAME) names.push(name.toString('latin1'));
  }
  return names;
}

/** Labels as in RFC 1123 section 2.1, and the underscore, which names of containers have. */
const DNS_NAME = /^(?=.{1,253}$)(?!-)[a-z\d_-]{1,63}(?<!-)(?:\.(?!-)[a-z\d_-]{1,63}(?<!-))*$/;

/** RFC 6066 section 3 allows neither a trailing dot, which some clients send all the same, nor an IP address. */
function dnsName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  return DNS_NAME.test(name) && !isIPv4(name) ? name : undefined;
}
