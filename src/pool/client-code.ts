/** A client as large tables keep it: a string takes 32 bytes, a number none beside its place in a list. */
export type ClientCode = number | string;

const [DOT, ZERO] = [46, 48];
const LONGEST = '255.255.255.255'.length;

/** The 32 bits of an IPv4 address in its usual spelling; whatever else a client is called stays as it is. */
export function codeOf(client: string): ClientCode {
  if (client.length > LONGEST) return client;
  // Not in one statement: until V8 has optimised it, that makes an array and walks it.
  let bits = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let at = 0; at < client.length; at++) {
    const char = client.charCodeAt(at);
    if (char === DOT) {
      if (digits === 0 || ++dots > 3) return client;
      bits = (bits << 8) | octet;
      octet = 0;
      digits = 0;
    } else {
      const digit = char - ZERO;
      // 010.0.0.1 is not 10.0.0.1: each number has one spelling.
      if (digit < 0 || digit > 9 || (digits > 0 && octet === 0)) return client;
      octet = octet * 10 + digit;
      if (octet > 255) return client;
      digits++;
    }
  }
  return dots === 3 && digits > 0 ? (bits << 8) | octet : client;
}

/** The client that has this code. */
export const clientOf = (code: ClientCode): string =>
  typeof code === 'string' ? code : `${code >>> 24}.${(code >> 16) & 255}.${(code >> 8) & 255}.${code & 255}`;

/** Numbers before strings, each in their own order. */
export function byCode(a: ClientCode, b: ClientCode): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : 1;
}
