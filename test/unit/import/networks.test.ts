import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  cidrOf,
  cidrsOf,
  complement,
  difference,
  equal,
  EVERYBODY,
  intersection,
  networksOf,
  NOBODY,
  union,
} from '../../../src/import/networks.ts';

/** Close to each other, so that they overlap. */
const cidr = fc.oneof(
  fc.tuple(fc.nat(255), fc.integer({ min: 20, max: 32 })).map(([last, bits]) => `10.0.0.${last}/${bits}`),
  fc
    .tuple(fc.nat(255), fc.integer({ min: 116, max: 128 }))
    .map(([last, bits]) => `2001:db8::${last.toString(16)}/${bits}`),
);
const cidrs = fc.array(cidr, { maxLength: 6 });
const PROBES = [
  ...Array.from({ length: 260 }, (_, i) => `10.0.${i >> 8}.${i & 255}`),
  ...Array.from({ length: 260 }, (_, i) => `2001:db8::${i.toString(16)}`),
  '9.255.255.255',
  '255.255.255.255',
  '::',
];

function has(all: readonly string[]): (address: string) => boolean {
  // One list for both families would take every IPv4 address to be in ::/0.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  const familyOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');
  for (const one of all) {
    const [address = '', bits] = one.split('/');
    const family = familyOf(address);
    lists[family].addSubnet(address, Number(bits ?? (family === 'ipv4' ? 32 : 128)), family);
  }
  return (address) => lists[familyOf(address)].check(address, familyOf(address));
}

test('sets of addresses come to what their members come to', () => {
  fc.assert(
    fc.property(cidrs, cidrs, (a, b) => {
      const [inA, inB] = [has(a), has(b)];
      const cases = [
        [union(networksOf(a), networksOf(b)), (one: string) => inA(one) || inB(one)],
        [intersection(networksOf(a), networksOf(b)), (one: string) => inA(one) && inB(one)],
        [difference(networksOf(a), networksOf(b)), (one: string) => inA(one) && !inB(one)],
        [complement(networksOf(a)), (one: string) => !inA(one)],
      ] as const;
      for (const [networks, wanted] of cases) {
        const found = has([...cidrsOf(networks)]);
        for (const one of PROBES) assert.equal(found(one), wanted(one), one);
      }
    }),
    { numRuns: 60 },
  );
});

test('networks that are written and read again are the same, in the fewest that there are', () => {
  fc.assert(
    fc.property(cidrs, (all) => {
      const networks = networksOf(all);
      const written = [...cidrsOf(networks)];
      assert.ok(equal(networksOf(written), networks));
      assert.ok(written.length <= all.length);
    }),
  );
  assert.deepEqual([...cidrsOf(EVERYBODY)], ['0.0.0.0/0', '::/0']);
  assert.deepEqual([...cidrsOf(NOBODY)], []);
  assert.ok(equal(complement(EVERYBODY), NOBODY));
});

test('a network is an address, or an address with bits or an IPv4 mask', () => {
  assert.equal(cidrOf('10.0.0.0/255.255.0.0'), '10.0.0.0/16');
  assert.equal(cidrOf('10.0.0.0/0.0.0.0'), '10.0.0.0/0');
  assert.equal(cidrOf('10.1.2.3'), '10.1.2.3');
  assert.equal(cidrOf('2001:db8::/32'), '2001:db8::/32');
  for (const wrong of [
    '',
    'x',
    '10.0.0.0/33',
    '10.0.0.0/255.0.255.0',
    '10.0.0.0/8/8',
    'fe80::1%eth0',
    '::/129',
    '::/',
  ]) {
    assert.equal(cidrOf(wrong), undefined, wrong);
  }
});
