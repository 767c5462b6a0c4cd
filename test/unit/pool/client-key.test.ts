import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Prefix, clientKey, ipv6Groups, keptKey, normaliseAddress } from '../../../src/pool/client-key.ts';

const HOST: Prefix = { ipv4: 32, ipv6: 128 };
const key = (address: string, prefix: Prefix): string => clientKey(normaliseAddress(address), prefix);

test('an IPv4 client of a dual-stack socket is its IPv4 address', () => {
  assert.equal(normaliseAddress('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(normaliseAddress('::FFFF:10.0.0.1'), '10.0.0.1');
  assert.equal(normaliseAddress('::ffff:a00:1'), '10.0.0.1');
  assert.equal(normaliseAddress('0:0:0:0:0:ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(normaliseAddress('10.0.0.1'), '10.0.0.1');
});

test('other addresses stay what they are, in their shortest spelling', () => {
  for (const address of [
    '::',
    '::1',
    '2001:db8::1',
    'fe80::1%eth0',
    '::fffe:a00:1',
    '64:ff9b::a00:1',
    '1::ffff:a00:1',
  ]) {
    assert.equal(normaliseAddress(address), address);
  }
  assert.equal(normaliseAddress('2001:DB8:0:0:0:0:0:0001'), '2001:db8::1');
  assert.equal(normaliseAddress('FE80:0::1%eth0'), 'fe80::1%eth0');
});

test('what is no address comes back as it is', () => {
  for (const text of ['', 'localhost', '::ffff:', '::ffff:10.0.0.256', '1:2:3', 'node-1.10.0.0.1'])
    assert.equal(normaliseAddress(text), text);
});

test('keys', () => {
  const table: [string, Prefix, string][] = [
    ['10.1.2.3', HOST, '10.1.2.3'],
    ['10.1.2.3', { ...HOST, ipv4: 24 }, '10.1.2.0/24'],
    ['10.1.2.255', { ...HOST, ipv4: 25 }, '10.1.2.128/25'],
    ['255.255.255.255', { ...HOST, ipv4: 1 }, '128.0.0.0/1'],
    ['::ffff:10.1.2.3', { ...HOST, ipv4: 8 }, '10.0.0.0/8'],
    ['2001:db8::1', HOST, '2001:db8::1'],
    ['2001:db8:1:2:3:4:5:6', { ...HOST, ipv6: 64 }, '2001:db8:1:2::/64'],
    ['2001:db8:1:2ff::1', { ...HOST, ipv6: 56 }, '2001:db8:1:200::/56'],
    ['ffff::', { ...HOST, ipv6: 1 }, '8000::/1'],
    ['2001:db8:1:2:3:4:5:678', { ...HOST, ipv6: 120 }, '2001:db8:1:2:3:4:5:600/120'],
    ['fe80::1%eth0', { ...HOST, ipv6: 64 }, 'fe80::1%eth0'],
    ['FEBF:0::1', { ...HOST, ipv6: 64 }, 'febf::1'],
    ['fec0::1', { ...HOST, ipv6: 64 }, 'fec0::/64'],
    ['::1', { ...HOST, ipv6: 64 }, '::/64'],
    ['2001:db8:0:7::1', { ...HOST, ipv6: 64 }, '2001:db8:0:7::/64'],
  ];
  for (const [address, prefix, expected] of table) assert.equal(key(address, prefix), expected);
});

test('the groups of an IPv6 address are eight numbers', () => {
  assert.deepEqual(ipv6Groups('::'), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(ipv6Groups('::1'), [0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual(ipv6Groups('fd00:ab::'), [0xfd00, 0xab, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(ipv6Groups('1::8'), [1, 0, 0, 0, 0, 0, 0, 8]);
  assert.deepEqual(ipv6Groups('1:2:3:4:5:6:7:8'), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(ipv6Groups('::ffff:1.2.3.4'), [0, 0, 0, 0, 0, 0xffff, 0x102, 0x304]);
});

/** The address as one number, read without the code under test. */
function numberOf(groups: readonly number[], width: number): bigint {
  return groups.reduce((sum, group) => (sum << BigInt(width)) | BigInt(group), 0n);
}

const bits = (most: number) => fc.integer({ min: 1, max: most });
const octets = fc.array(fc.oneof(fc.nat(255), fc.constantFrom(0, 255)), { minLength: 4, maxLength: 4 });
const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(0xffff), fc.constantFrom(1, 0xffff));
// The first 96 bits are never those of an IPv4 address in disguise.
const groups = fc.array(group, { minLength: 8, maxLength: 8 }).map((all) => [all[0]! | 0x2000, ...all.slice(1)]);

test('two IPv4 addresses share a key if and only if they share the prefix', () => {
  fc.assert(
    fc.property(octets, octets, bits(32), bits(32), (a, b, prefix, same) => {
      // Random addresses hardly share anything: the second one begins like the first.
      const mixed =
        ((numberOf(a, 8) >> BigInt(32 - same)) << BigInt(32 - same)) |
        (numberOf(b, 8) & ((1n << BigInt(32 - same)) - 1n));
      const second = [24n, 16n, 8n, 0n].map((shift) => Number((mixed >> shift) & 255n));
      const shared = numberOf(a, 8) >> BigInt(32 - prefix) === mixed >> BigInt(32 - prefix);
      const [one, other] = [
        key(a.join('.'), { ...HOST, ipv4: prefix }),
        key(`::ffff:${second.join('.')}`, { ...HOST, ipv4: prefix }),
      ];
      assert.equal(one === other, shared, `${one} ${other}`);
    }),
    { numRuns: 2_000 },
  );
});

/** Some spelling of the address: capitals, leading zeroes, any run of zeroes cut, the last two groups as IPv4. */
const spelling = fc.record({
  upper: fc.boolean(),
  pad: fc.boolean(),
  dotted: fc.boolean(),
  cut: fc.nat(7),
  length: fc.nat(8),
});
type Spelling = typeof spelling extends fc.Arbitrary<infer T> ? T : never;

function spell(all: readonly number[], { upper, pad, dotted, cut, length }: Spelling): string {
  const hex = all.map((one) => one.toString(16).padStart(pad ? 4 : 1, '0'));
  const tail = dotted ? [`${all[6]! >> 8}.${all[6]! & 255}.${all[7]! >> 8}.${all[7]! & 255}`] : hex.slice(6);
  const parts = [...hex.slice(0, 6), ...tail];
  const end = Math.min(cut + length, dotted ? 6 : 8);
  const zeroes = all.slice(cut, end);
  const text =
    zeroes.length > 0 && zeroes.every((one) => one === 0)
      ? `${parts.slice(0, cut).join(':')}::${parts.slice(end).join(':')}`
      : parts.join(':');
  return upper ? text.toUpperCase() : text;
}

test('two IPv6 addresses share a key if and only if they share the prefix, in each spelling', () => {
  fc.assert(
    fc.property(groups, groups, bits(128), fc.nat(8), spelling, spelling, (a, b, prefix, same, one, other) => {
      const second = [...a.slice(0, same), ...b.slice(same)];
      // Every link-local host is a client of its own.
      const isLocal = [a, second].some(([first = 0]) => (first & 0xffc0) === 0xfe80);
      const shift = isLocal ? 0n : BigInt(128 - prefix);
      const shared = numberOf(a, 16) >> shift === numberOf(second, 16) >> shift;
      const keys = [
        key(spell(a, one), { ...HOST, ipv6: prefix }),
        key(spell(second, other), { ...HOST, ipv6: prefix }),
      ];
      assert.equal(keys[0] === keys[1], shared, keys.join(' '));
    }),
    { numRuns: 3_000 },
  );
});

test('an IPv4 client and an IPv6 client never share a key', () => {
  fc.assert(
    fc.property(octets, groups, bits(32), bits(128), (a, b, ipv4, ipv6) => {
      const prefix = { ipv4, ipv6 };
      assert.notEqual(key(a.join('.'), prefix), key(b.map((one) => one.toString(16)).join(':'), prefix));
    }),
  );
});

test('a key that was kept is the key of the same client now, however it was spelled', () => {
  const prefix = { ipv4: 24, ipv6: 64 };
  for (const [kept, now] of [
    ['10.0.0.7', '10.0.0.0/24'],
    ['::FFFF:10.0.0.7', '10.0.0.0/24'],
    ['::ffff:a00:7', '10.0.0.0/24'],
    ['10.0.0.0/28', '10.0.0.0/24'],
    ['10.0.0.0/24', '10.0.0.0/24'],
    ['10.0.0.0/16', '10.0.0.0/16'],
    ['2001:DB8:0:0::9', '2001:db8::/64'],
    ['2001:db8:0:0::/64', '2001:db8::/64'],
    ['FE80::1%eth0', 'fe80::1%eth0'],
    ['no address', 'no address'],
  ] as const)
    assert.equal(keptKey(kept, prefix), now, kept);
  assert.equal(keptKey('2001:DB8:0::9', { ipv4: 32, ipv6: 128 }), '2001:db8::9');
});
