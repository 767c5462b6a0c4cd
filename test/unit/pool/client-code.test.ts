import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { byCode, clientOf, codeOf } from '../../../src/pool/client-code.ts';

test('every IPv4 address is a number of 32 bits, and that number is its own', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      const code = codeOf(address);
      assert.equal(typeof code, 'number');
      assert.equal(code, (code as number) | 0);
      assert.equal(clientOf(code), address);
    }),
  );
  assert.deepEqual(['0.0.0.0', '0.0.1.0', '127.0.0.1', '255.255.255.255'].map(codeOf), [0, 256, 0x7f000001, -1]);
});

test('whatever a client is called, its code tells its name again', () => {
  const digits = fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '9', '.', '/', ' '), maxLength: 18 });
  fc.assert(
    fc.property(fc.oneof(digits, fc.ipV6(), fc.string()), (client) => {
      const code = codeOf(client);
      assert.equal(clientOf(code), client);
      assert.equal(typeof code === 'number', isIPv4(client));
    }),
    { numRuns: 2_000 },
  );
  for (const client of ['', '1', '1.2.3', '1.2.3.', '.1.2.3', '1..2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4']) {
    assert.equal(codeOf(client), client);
  }
  assert.equal(codeOf('10.0.0.0/24'), '10.0.0.0/24');
});

test('codes have an order', () => {
  const codes = ['b', 'a', ...['10.0.0.2', '10.0.0.1'].map(codeOf)];
  assert.deepEqual(codes.toSorted(byCode).map(clientOf), ['10.0.0.1', '10.0.0.2', 'a', 'b']);
});
