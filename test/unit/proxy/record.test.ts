/** What stands in a record, as it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOf, formatAddress } from '../../../src/proxy/record.ts';

test('an address is written with its port, an IPv6 address in brackets, and a unix socket by its kind', () => {
  assert.equal(formatAddress({ address: '192.0.2.1', port: 443 }), '192.0.2.1:443');
  assert.equal(formatAddress({ address: '2001:db8::1', port: 443 }), '[2001:db8::1]:443');
  assert.equal(formatAddress(undefined), 'unix');
});

test('the end of a relay is written as who ended it, and whether the server had finished', () => {
  assert.equal(endOf({ kind: 'finished' }), '--');
  for (const [kind, side, letter] of [
    ['broken', 'client', 'C'],
    ['broken', 'server', 'S'],
    ['idle', 'client', 'c'],
    ['idle', 'server', 's'],
  ] as const) {
    assert.equal(endOf({ kind, side, lastBytes: false }), `${letter}D`);
    assert.equal(endOf({ kind, side, lastBytes: true }), `${letter}L`);
  }
});
