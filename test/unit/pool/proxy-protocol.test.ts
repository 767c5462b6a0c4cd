import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import {
  buildProxyHeader,
  looksLikeProxyHeader,
  MOST_HEADER_BYTES,
  parseProxyHeader,
  type ProxiedEndpoint,
} from '../../../src/pool/proxy-protocol.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const V4_BODY = 'c0a80001c0a8000bdc0401bb';
const V6_BODY = '20010db800000000000000000000000100000000000000000000ffff0a000001dc0401bb';

const line = (text: string): Buffer => Buffer.from(text, 'latin1');
const v2 = (rest: string): Buffer => Buffer.from(SIGNATURE + rest.replaceAll(' ', ''), 'hex');
/** A v2 header with its length filled in. */
const v2Body = (commandAndFamily: string, body: string): Buffer =>
  v2(`${commandAndFamily}${(body.length / 2).toString(16).padStart(4, '0')}${body}`);
const at = (address: string, port: number): ProxiedEndpoint => ({ address, port });

const V4: readonly [ProxiedEndpoint, ProxiedEndpoint] = [at('192.168.0.1', 56_324), at('192.168.0.11', 443)];
const V6: readonly [ProxiedEndpoint, ProxiedEndpoint] = [at('2001:db8::1', 56_324), at('10.0.0.1', 443)];
const LONGEST = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
const TLVS = '0400030000000300041a2b3c4d02000b' + Buffer.from('example.com').toString('hex');

type Row = readonly [name: string, bytes: Buffer, ends: readonly [ProxiedEndpoint, ProxiedEndpoint] | undefined];

const valid: readonly Row[] = [
  ["the specification's own example", line('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n'), V4],
  ['ports 0 and 65535', line('PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n'), [at('1.2.3.4', 0), at('5.6.7.8', 65_535)]],
  ['v1 IPv6 in capitals, uncompressed', line('PROXY TCP6 2001:DB8:0:0::1 ::FFFF:A00:1 56324 443\r\n'), V6],
  ['v1 IPv6 with a dotted tail', line('PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 56324 443\r\n'), V6],
  [
    'the longest TCP6 line',
    line(`PROXY TCP6 ${LONGEST} ${LONGEST} 65535 65535\r\n`),
    [at(LONGEST, 65_535), at(LONGEST, 65_535)],
  ],
  ['v1 UNKNOWN, short', line('PROXY UNKNOWN\r\n'), undefined],
  ['v1 UNKNOWN, the longest line', line(`PROXY UNKNOWN ${LONGEST} ${LONGEST} 65535 65535\r\n`), undefined],
  ['v1 UNKNOWN with anything else', line('PROXY UNKNOWN  \0\xff what\r ever\n\r\n'), undefined],
  ['v2 TCP over IPv4', v2Body('2111', V4_BODY), V4],
  ['v2 TCP over IPv6, destination mapped', v2Body('2121', V6_BODY), V6],
  ['v2 with TLVs', v2Body('2111', V4_BODY + TLVS), V4],
  ['v2 with bytes after its addresses that are no TLVs', v2Body('2111', V4_BODY + 'ff'), V4],
  ['v2 of the most bytes there may be', v2Body('2111', V4_BODY.padEnd(2 * 4_096, '0')), V4],
  ['v2 LOCAL', v2Body('2000', ''), undefined],
  ['v2 LOCAL with addresses', v2Body('2011', V4_BODY), undefined],
  ['v2 LOCAL with TLVs and a family that is none', v2Body('20ff', TLVS), undefined],
  ['v2 AF_UNSPEC', v2Body('2100', ''), undefined],
  ['v2 AF_UNSPEC with TLVs', v2Body('2100', TLVS), undefined],
  ['v2 AF_UNIX', v2Body('2131', '2f'.repeat(216)), undefined],
  ['v2 UDP', v2Body('2112', V4_BODY), undefined],
  ['v2 AF_INET of an unspecified protocol', v2Body('2110', V4_BODY), undefined],
];

const invalid: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['another protocol', line('GET / HTTP/1.1\r\n')],
  ['a TLS record', Buffer.from('1603010200', 'hex')],
  ['lower case', line('proxy ')],
  ['PROXY and a tab', line('PROXY\t')],
  ['two spaces', line('PROXY  ')],
  ['a protocol there is not', line('PROXY TCP5')],
  ['UDP4, which v1 has not', line('PROXY UD')],
  ['no protocol', line('PROXY \r\n')],
  ['UNKNOWN that goes on', line('PROXY UNKNOWNS')],
  ['UNKNOWN that ends in a single LF', line('PROXY UNKNOWN\n')],
  ['two spaces before the source', line('PROXY TCP4  ')],
  ['a space at the end', line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ')],
  ['a field too many', line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n')],
  ['a field too few', line('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n')],
  ['a single LF', line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n')],
  ['a single CR', line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n')],
  ['a CR too early', line('PROXY TCP4 1.2.3.4 5.6.7.8\r')],
  ['an octet over 255', line('PROXY TCP4 256')],
  ['an octet with a leading zero', line('PROXY TCP4 01')],
  ['five octets', line('PROXY TCP4 1.2.3.4.')],
  ['three octets', line('PROXY TCP4 1.2.3 ')],
  ['IPv6 in TCP4', line('PROXY TCP4 :')],
  ['IPv4 in TCP6', line('PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n')],
  ['IPv4 as the destination in TCP6', line('PROXY TCP6 ::1 1.2.3.4 1 2\r\n')],
  ['two double colons', line('PROXY TCP6 1::2::')],
  ['five hexadecimal digits', line('PROXY TCP6 12345')],
  ['nine groups', line('PROXY TCP6 1:2:3:4:5:6:7:8:')],
  ['a zone', line('PROXY TCP6 fe80::1%')],
  ['a port over 65535', line('PROXY TCP4 1.2.3.4 5.6.7.8 65536')],
  ['a port with a leading zero', line('PROXY TCP4 1.2.3.4 5.6.7.8 00')],
  ['a signed port', line('PROXY TCP4 1.2.3.4 5.6.7.8 +')],
  ['a hexadecimal port', line('PROXY TCP4 1.2.3.4 5.6.7.8 0x')],
  ['no CRLF within 107 bytes', line(`PROXY UNKNOWN ${'x'.repeat(92)}`)],
  ['a CRLF at the 107th byte', line(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['v2 of version 1', v2('11')],
  ['v2 of version 3', v2('31')],
  ['v2 with command 2', v2('22')],
  ['v2 with family 4', v2('2141')],
  ['v2 with transport 3', v2('2113')],
  ['v2 IPv4 of 11 bytes', v2('2111 000b')],
  ['v2 IPv4 of no byte', v2('2111 0000')],
  ['v2 UDP over IPv4 of 11 bytes', v2('2112 000b')],
  ['v2 IPv6 of 35 bytes', v2('2121 0023')],
  ['v2 AF_UNIX of 215 bytes', v2('2131 00d7')],
  ['v2 of a byte too many', v2('2111 1001')],
  ['v2 LOCAL of a byte too many', v2('2000 1001')],
  ['v2 of very many bytes', v2('2111 11')],
];

describe('parseProxyHeader', () => {
  for (const [name, bytes, ends] of valid) {
    test(`takes ${name}, whole, in two parts and with the client's bytes behind it`, () => {
      const header = { kind: 'header', length: bytes.length, source: ends?.[0], destination: ends?.[1] };
      assert.deepEqual(parseProxyHeader(bytes), header);
      assert.deepEqual(parseProxyHeader(Buffer.concat([bytes, line('\r\nPROXY UNKNOWN\r\n')])), header);
      for (let i = 0; i < bytes.length; i++) {
        assert.deepEqual(parseProxyHeader(bytes.subarray(0, i)), { kind: 'more' }, `after ${i} bytes`);
      }
    });
  }

  for (const [name, bytes] of invalid) {
    test(`refuses ${name} at its last byte, and for good`, () => {
      assert.equal(parseProxyHeader(bytes).kind, 'invalid');
      assert.equal(parseProxyHeader(Buffer.concat([bytes, line('\r\n')])).kind, 'invalid');
    });
  }

  test('refuses what cannot become a header as soon as that is plain', () => {
    for (const text of [
      'X',
      'PX',
      'PROXX',
      '\r\n\r\r',
      'PROXY TC4',
      'PROXY TCP4 300',
      'PROXY TCP4 1..',
      'PROXY TCP6 1:::',
    ]) {
      assert.equal(parseProxyHeader(line(text.slice(0, -1))).kind, 'more', text);
      assert.equal(parseProxyHeader(line(text)).kind, 'invalid', text);
    }
  });

  test('neither throws nor holds more than it may, whatever the bytes', () => {
    const start = fc.constantFrom(
      '',
      'PROXY ',
      'PROXY TCP4 ',
      'PROXY TCP6 ',
      ...['', '20', '21', '2111', '2121', '2131'].map((hex) => v2(hex).toString('latin1')),
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300, size: 'max' }), (text, rest) => {
        const bytes = Buffer.concat([line(text), rest]);
        const header = parseProxyHeader(bytes);
        if (header.kind === 'header') assert.ok(header.length <= bytes.length);
        if (header.kind === 'more') assert.ok(bytes.length < MOST_HEADER_BYTES);
        if (header.kind === 'invalid') assert.equal(parseProxyHeader(Buffer.concat([bytes, rest])).kind, 'invalid');
      }),
      { numRuns: 5_000 },
    );
  });

  test('with one byte of a header changed, gives one lasting answer', () => {
    const row = fc.constantFrom(...valid.map(([, bytes]) => bytes));
    fc.assert(
      fc.property(row, fc.nat(), fc.nat({ max: 255 }), (bytes, where, byte) => {
        const changed = Buffer.from(bytes);
        changed[where % bytes.length] = byte;
        const answers = Array.from({ length: changed.length + 1 }, (_, i) => parseProxyHeader(changed.subarray(0, i)));
        const settled = answers.findIndex(({ kind }) => kind !== 'more');
        if (settled === -1) return;
        for (const answer of answers.slice(settled)) assert.deepEqual(answer, answers[settled]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('buildProxyHeader', () => {
  const endpoint = fc.record({ address: fc.oneof(fc.ipV4(), fc.ipV6()), port: fc.nat({ max: 65_535 }) });
  /** As the parser, and the kernel, spell it. */
  const plain = ({ address, port }: ProxiedEndpoint): ProxiedEndpoint => {
    const host = isIPv4(address) ? address : new URL(`http://[${address}]`).hostname.slice(1, -1);
    return at(host, port);
  };

  test('parses back, in both versions and any mix of families, at every split', () => {
    fc.assert(
      fc.property(fc.constantFrom('v1', 'v2'), endpoint, endpoint, (version, source, destination) => {
        const bytes = buildProxyHeader(version, source, destination);
        const header = parseProxyHeader(bytes);
        assert.ok(header.kind === 'header');
        assert.equal(header.length, bytes.length);
        for (const [parsed, given] of [
          [header.source, source],
          [header.destination, destination],
        ] as const) {
          assert.ok(parsed);
          assert.deepEqual(plain(parsed), plain(given));
        }
        for (let i = 0; i < bytes.length; i++) assert.equal(parseProxyHeader(bytes.subarray(0, i)).kind, 'more');
      }),
      { numRuns: 2_000 },
    );
  });

  const table: readonly (readonly ['v1' | 'v2', ProxiedEndpoint | undefined, ProxiedEndpoint | undefined, Buffer])[] = [
    ['v1', ...V4, line('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n')],
    ['v1', at('::ffff:192.168.0.1', 56_324), V4[1], line('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n')],
    ['v1', ...V6, line('PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 56324 443\r\n')],
    ['v1', at('fe80::1%eth0', 1), at('fe80::2', 2), line('PROXY TCP6 fe80::1 fe80::2 1 2\r\n')],
    ['v1', undefined, V4[1], line('PROXY UNKNOWN\r\n')],
    ['v1', V4[0], undefined, line('PROXY UNKNOWN\r\n')],
    ['v1', at('/run/x.sock', 0), V4[1], line('PROXY UNKNOWN\r\n')],
    ['v2', ...V4, v2Body('2111', V4_BODY)],
    ['v2', ...V6, v2Body('2121', V6_BODY)],
    ['v2', undefined, undefined, v2Body('2000', '')],
  ];
  for (const [version, source, destination, bytes] of table) {
    test(`${version}: ${source?.address} to ${destination?.address}`, () => {
      assert.equal(buildProxyHeader(version, source, destination).toString('hex'), bytes.toString('hex'));
    });
  }
});

describe('looksLikeProxyHeader', () => {
  for (const start of [line('PROXY '), v2('')]) {
    test(`is 'maybe' within ${JSON.stringify(start.toString('latin1'))}, then 'yes', and 'no' off it`, () => {
      for (let i = 0; i < start.length; i++) {
        assert.equal(looksLikeProxyHeader(start.subarray(0, i)), 'maybe');
        assert.equal(looksLikeProxyHeader(Buffer.concat([start.subarray(0, i), line('\x01')])), 'no');
      }
      assert.equal(looksLikeProxyHeader(start), 'yes');
      assert.equal(looksLikeProxyHeader(Buffer.concat([start, line('\x01')])), 'yes');
    });
  }
});
