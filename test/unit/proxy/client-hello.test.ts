import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { MOST_HELLO_BYTES, parseClientHello, sniMatch } from '../../../src/proxy/admission/client-hello.ts';
import { extension, helloMessage, records, serverName, vector } from '../../support/hellos.ts';

const hello = (...extensions: readonly Buffer[]): Buffer => records(helloMessage({ extensions }));
const named = (name: string): Buffer => hello(serverName(name));
const answer = (name: string | undefined): object => ({ kind: 'hello', serverName: name });
/** An extension of no meaning, to fill a hello up. */
const padding = (bytes: number): Buffer => extension(21, Buffer.alloc(bytes));
const keyShare = extension(51, Buffer.alloc(1_263, 5));
const LABEL = 'a'.repeat(63);
const LONGEST = [LABEL, LABEL, LABEL, 'b'.repeat(61)].join('.');

const hellos: readonly (readonly [name: string, bytes: Buffer, serverName: string | undefined])[] = [
  [
    'a name among other extensions',
    hello(keyShare, serverName('registry.example.com'), padding(9)),
    'registry.example.com',
  ],
  [
    'a post-quantum hello in two records',
    records(helloMessage({ extensions: [keyShare, serverName('a.b')] }), 700),
    'a.b',
  ],
  ['a name in capitals', named('Registry.EXAMPLE.com'), 'registry.example.com'],
  ['a name with a trailing dot', named('registry.example.com.'), 'registry.example.com'],
  ['a single label', named('localhost'), 'localhost'],
  ['an underscore', named('docker_registry_server1'), 'docker_registry_server1'],
  ['an internationalised name', named('xn--bcher-kva.example'), 'xn--bcher-kva.example'],
  ['a name of 253 characters', named(LONGEST), LONGEST],
  ['a name of 253 characters and a dot', named(`${LONGEST}.`), LONGEST],
  ['a name of a type yet to come beside the host name', hello(serverName([7, 'x y'], 'a.b')), 'a.b'],
  ['no extensions', records(helloMessage({ extensions: undefined })), undefined],
  ['no extension', hello(), undefined],
  ['no server name', hello(keyShare), undefined],
  ['two host names', hello(serverName('a.b', 'c.d')), undefined],
  ['two server_name extensions', hello(serverName('a.b'), serverName('a.b')), undefined],
  ['only a name of a type yet to come', hello(serverName([7, 'a.b'])), undefined],
  ['an IPv4 address', named('192.0.2.1'), undefined],
  ['an IPv6 address', named('2001:db8::1'), undefined],
  ['a wildcard', named('*.example.com'), undefined],
  ['254 characters', named(`a${LONGEST}`), undefined],
  ['a label of 64 characters', named(`a${LABEL}.example.com`), undefined],
  ['an empty label', named('a..b'), undefined],
  ['two trailing dots', named('a.b..'), undefined],
  ['only a dot', named('.'), undefined],
  ['a label that begins with a hyphen', named('-a.b'), undefined],
  ['a label that ends with a hyphen', named('a-.b'), undefined],
  ['a line feed at the end', named('a.b\n'), undefined],
  ['a zero byte', named('a.b\0.c'), undefined],
  ['UTF-8', named('b\xc3\xbccher.example'), undefined],
  [
    'the smallest hello there is',
    records(helloMessage({ sessionId: Buffer.alloc(0), cipherSuites: Buffer.alloc(2), extensions: undefined })),
    undefined,
  ],
  ['the largest', records(helloMessage({ extensions: [serverName('a.b'), padding(32_657)] }), 16_384), 'a.b'],
];

const list = (data: Buffer): Buffer => hello(extension(0, data));
const patched = (at: number, ...bytes: readonly number[]): Buffer => {
  const wire = named('a.b');
  wire.set(bytes, at);
  return wire;
};
/** The message with another length, and so many zero bytes behind it or so many bytes less. */
const longer = (message: Buffer, by: number): Buffer => resized(Buffer.concat([message, Buffer.alloc(by)]));
const shorter = (message: Buffer, by: number): Buffer => resized(message.subarray(0, message.length - by));
const resized = (message: Buffer): Buffer => {
  message.writeUIntBE(message.length - 4, 1, 3);
  return message;
};
const foreign: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['a PROXY header', Buffer.from('PROXY UNKNOWN\r\n')],
  ['a hello as SSL 2 had it', Buffer.from('802e0100020015000000100100800200800300800400800500800600', 'hex')],
  ['an alert', patched(0, 21)],
  ['a version other than 3', patched(1, 2)],
  ['an empty record', patched(3, 0, 0)],
  ['a record over 16384 bytes', patched(3, 0x40, 0x01)],
  ['a ServerHello', patched(5, 2)],
  ['a message over the cap', patched(6, 0, 0x80, 0)],
  ['a message of 16 MiB', patched(6, 0xff)],
  ['a message too short for a hello', patched(6, 0, 0, 40)],
  ['a hello of version 2', patched(9, 2)],
  ['a session id of 33 bytes', records(helloMessage({ sessionId: Buffer.alloc(33) }))],
  ['no cipher suite', records(helloMessage({ cipherSuites: Buffer.alloc(0), extensions: [keyShare] }))],
  ['half a cipher suite', records(helloMessage({ cipherSuites: Buffer.alloc(3) }))],
  ['no compression method', records(helloMessage({ compressionMethods: Buffer.alloc(0) }))],
  ['an extension that overruns', hello(Buffer.from('0015000500', 'hex'))],
  ['an extension without a length', hello(Buffer.from('0015', 'hex'))],
  ['bytes after the extensions', records(longer(helloMessage({ extensions: [] }), 3))],
  ['extensions that overrun', records(shorter(helloMessage({ extensions: [keyShare] }), 3))],
  ['an empty server_name extension', list(Buffer.alloc(0))],
  ['an empty list of names', list(vector(2))],
  ['a list that overruns', list(Buffer.from('000500', 'hex'))],
  ['bytes after the list', list(Buffer.concat([vector(2, Buffer.from('00000161', 'hex')), Buffer.alloc(1)]))],
  ['an empty name', hello(serverName(''))],
  ['a name that overruns', list(vector(2, Buffer.from('00000961', 'hex')))],
  [
    'a second record of another type',
    Buffer.concat([records(helloMessage({}), 50).subarray(0, 55), Buffer.from('1503010001', 'hex')]),
  ],
];

describe('parseClientHello', () => {
  for (const [name, bytes, found] of hellos) {
    test(`reads ${name}, whole, in two parts and with more behind it`, () => {
      assert.deepEqual(parseClientHello(bytes), answer(found));
      assert.deepEqual(parseClientHello(Buffer.concat([bytes, Buffer.alloc(40_000, 1)])), answer(found));
      for (let i = 0; i < bytes.length; i++) {
        assert.deepEqual(parseClientHello(bytes.subarray(0, i)), { kind: 'more' }, `after ${i} bytes`);
      }
    });
  }

  for (const [name, bytes] of foreign) {
    test(`refuses ${name}, and for good`, () => {
      const kinds = Array.from({ length: bytes.length + 1 }, (_, i) => parseClientHello(bytes.subarray(0, i)).kind);
      const settled = kinds.indexOf('not-tls');
      assert.ok(settled > 0);
      assert.ok(kinds.every((kind, i) => kind === (i < settled ? 'more' : 'not-tls')));
      assert.equal(parseClientHello(Buffer.concat([bytes, Buffer.alloc(40_000, 1)])).kind, 'not-tls');
    });
  }

  test('refuses a foreign start at its first wrong byte', () => {
    for (const hex of [
      '00',
      '1602',
      '1603014100',
      '160301400100',
      '1603010000',
      '16030102000200',
      '16030102000100ff',
      '16030102000100020002',
      '160301020001000028',
    ]) {
      const bytes = Buffer.from(hex, 'hex');
      assert.equal(parseClientHello(bytes).kind, 'not-tls', hex);
    }
    assert.equal(parseClientHello(Buffer.alloc(0)).kind, 'more');
    const least = Buffer.from('160301020001000029', 'hex');
    assert.equal(parseClientHello(least).kind, 'more', 'the smallest message');
  });

  test('reads one hello in any records', () => {
    const message = helloMessage({ extensions: [keyShare, serverName('a.b')] });
    for (let i = 1; i < message.length; i++) {
      assert.deepEqual(parseClientHello(records(message, i)), answer('a.b'), `a boundary at ${i}`);
    }
    const single = records(message, ...Array.from({ length: message.length }, () => 1));
    assert.deepEqual(parseClientHello(single), answer('a.b'));
    const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(sizes, fc.nat(), (cuts, split) => {
        const wire = records(message, ...cuts);
        assert.deepEqual(parseClientHello(wire), answer('a.b'));
        assert.equal(parseClientHello(wire.subarray(0, split % wire.length)).kind, 'more');
      }),
    );
  });

  test('gives up at its cap, whatever is still to come', () => {
    const over = records(helloMessage({ extensions: [padding(32_658), serverName('a.b')] }), 16_384);
    assert.equal(parseClientHello(over).kind, 'not-tls');
    // The last two bytes would fit, the header of their record does not.
    const split = records(helloMessage({ extensions: [padding(32_656), serverName('a.b')] }), 16_384, 16_371);
    assert.equal(parseClientHello(split.subarray(0, MOST_HELLO_BYTES)).kind, 'not-tls');
    for (const size of [1, 2, 3, 100]) {
      // Small records, whose headers take the room that the message would need.
      const message = helloMessage({ extensions: [padding(32_000)] });
      const wire = records(message, ...Array.from({ length: Math.ceil(message.length / size) }, () => size));
      assert.equal(parseClientHello(wire.subarray(0, 9)).kind, 'more');
      for (let more = 0; more < 20; more++) {
        assert.equal(parseClientHello(wire.subarray(0, MOST_HELLO_BYTES + more)).kind, 'not-tls', `records of ${size}`);
      }
    }
  });

  test('32 KiB in records of one byte, a byte at a time, is understood, and not before the last byte', () => {
    const message = helloMessage({ extensions: [padding(5_300)] });
    const wire = records(message, ...Array.from({ length: message.length }, () => 1));
    let calls = 0;
    while (parseClientHello(wire.subarray(0, calls)).kind === 'more') calls++;
    assert.equal(calls, wire.length);
  });

  test('neither throws nor waits beyond its cap, whatever the bytes', () => {
    const start = fc.constantFrom('', '16', '160301', '16030100ff01', '160301020001', '16030101000100009c0303');
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 500, size: 'max' }), (hex, rest) => {
        const bytes = Buffer.concat([Buffer.from(hex, 'hex'), rest]);
        const { kind } = parseClientHello(bytes);
        if (kind !== 'more') assert.equal(parseClientHello(Buffer.concat([bytes, rest])).kind, kind);
        assert.notEqual(parseClientHello(Buffer.concat([bytes, Buffer.alloc(MOST_HELLO_BYTES)])).kind, 'more');
      }),
      { numRuns: 5_000 },
    );
  });

  test('with bytes of a hello changed, gives one lasting answer', () => {
    const wires = [
      named('registry.example.com'),
      records(helloMessage({ extensions: [serverName('a.b'), padding(9)] }), 3, 50),
    ];
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.constantFrom(...wires), changes, (wire, edits) => {
        const bytes = Buffer.from(wire);
        for (const [where, byte] of edits) bytes[where % bytes.length] = byte;
        const answers = Array.from({ length: bytes.length + 1 }, (_, i) => parseClientHello(bytes.subarray(0, i)));
        const settled = answers.findIndex(({ kind }) => kind !== 'more');
        if (settled !== -1) for (const one of answers.slice(settled)) assert.deepEqual(one, answers[settled]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('sniMatch', () => {
  const names = new Map([
    ['example.com', 'exact'],
    ['mirror.example.com', 'exact mirror'],
    ['*.example.com', 'wildcard'],
    ['*.a.example.com', 'deeper wildcard'],
  ]);
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['example.com', 'exact'],
    ['EXAMPLE.Com', 'exact'],
    ['mirror.example.com', 'exact mirror'],
    ['a.example.com', 'wildcard'],
    ['A.Example.COM', 'wildcard'],
    ['b.a.example.com', 'deeper wildcard'],
    ['a.b.example.com', undefined],
    ['.example.com', undefined],
    ['xexample.com', undefined],
    ['com', undefined],
    ['', undefined],
  ];
  for (const [name, found] of rows)
    test(`'${name}' finds ${found ?? 'nothing'}`, () => assert.equal(sniMatch(names, name), found));
});
