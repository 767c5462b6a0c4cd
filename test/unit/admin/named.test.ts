/** Clients as an operator writes them, and as lists and the log have them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { addressIn, client, isClient } from '../../../src/admin/named.ts';
import { formatAddress } from '../../../src/proxy/record.ts';

test('a client is written as an address, with its port or without, as a network, or as unix', () => {
  for (const good of [
    '10.0.0.7',
    '10.0.0.7:40000',
    '10.0.0.0/24',
    '::1',
    '[::1]:40000',
    '[::1]',
    '2001:db8::/64',
    'unix',
  ])
    assert.ok(client().safeParse(good).success, good);
  for (const bad of ['', 'me', '10.0.0', '10.0.0.7:', '10.0.0.7:x', ':80', 'unix:', '[::1', 7])
    assert.equal(client().safeParse(bad).success, false, String(bad));
});

test('the address of a client is found in whatever form it is written', () => {
  const addresses = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(addresses, fc.integer({ min: 0, max: 65_535 }), (given, port) => {
      const address = addressIn(given);
      assert.equal(addressIn(formatAddress({ address, port })), address);
      assert.equal(addressIn(`${address}/24`), address);
      assert.ok(isClient(given, formatAddress({ address, port }), undefined));
    }),
  );
});

test('a client is known by its address, its address and port, or its key', () => {
  const is = (wanted: string): boolean => isClient(wanted, '[2001:db8::5]:40000', '2001:db8::/64');
  assert.deepEqual(
    ['2001:db8::5', '2001:DB8:0::5', '[2001:db8::5]:40000', '2001:db8::/64'].map(is),
    Array(4).fill(true),
  );
  assert.deepEqual(['2001:db8::6', '[2001:db8::5]:40001', '2001:db8::/48', 'unix'].map(is), Array(4).fill(false));
  assert.ok(isClient('unix', 'unix', undefined));
  assert.ok(isClient('10.0.0.7', '10.0.0.7:1', undefined) && !isClient('10.0.0.7', '10.0.0.70:1', undefined));
});
