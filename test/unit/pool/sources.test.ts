import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schema } from '../../../src/config/schema.ts';
import { connectFailure } from '../../../src/pool/failures.ts';
import { missingSources, Sources } from '../../../src/pool/sources.ts';
import { backendConfig } from '../../support/backend.ts';

const MIXED = ['10.0.0.1', 'fd00::1', '10.0.0.2', '10.0.0.3'];

test('each connect begins with another source, and has the others behind it', () => {
  const sources = new Sources();
  const [a, b, c] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  assert.deepEqual(
    Array.from({ length: 4 }, () => sources.inTurn(MIXED, '10.9.9.9')),
    [
      [a, b, c],
      [b, c, a],
      [c, a, b],
      [a, b, c],
    ],
  );
});

test('only sources of the family of the server are used; where there are none the kernel chooses', () => {
  const sources = new Sources();
  assert.deepEqual(sources.inTurn(MIXED, 'fd00::9'), ['fd00::1']);
  assert.deepEqual(sources.inTurn(['10.0.0.1'], 'fd00::9'), [undefined]);
  assert.deepEqual(sources.inTurn([], '10.9.9.9'), [undefined]);
});

test('a source is an address, in its shortest spelling', () => {
  const servers = { s1: '10.9.9.9:5000' };
  assert.deepEqual(backendConfig({ servers, source: ['10.0.0.1', 'FD00:0::1'] }).source, ['10.0.0.1', 'fd00::1']);
  for (const wrong of ['registry', '0.0.0.0', '::', '0::0', '10.0.0.0/24', '10.0.0.1:5000']) {
    assert.throws(() => backendConfig({ servers, source: [wrong] }), /an IP address of this machine/, wrong);
  }
});

test('a source that no interface has is named; loopback has a whole network', () => {
  const config = schema.parse({
    frontends: { f: { bind: '*:1', backend: 'b' } },
    backends: { b: { servers: { s1: '10.9.9.9:5000' }, source: ['127.9.9.9', '192.0.2.1', '127.0.0.1'] } },
  });
  assert.deepEqual(missingSources(config), [{ backend: 'b', source: '192.0.2.1' }]);
});

test('an operator reads whether a source is missing or its ports are used up', () => {
  const failure = (code: string, syscall: string) =>
    connectFailure(Object.assign(new Error(code), { code, syscall, address: '10.0.0.1' }));
  assert.deepEqual(
    [failure('EADDRNOTAVAIL', 'bind'), failure('EADDRNOTAVAIL', 'connect'), failure('EADDRINUSE', 'connect')],
    [
      { reason: 'no_port', text: '10.0.0.1 is no address of this machine' },
      { reason: 'no_port', text: 'out of local ports towards this server' },
      { reason: 'no_port', text: 'out of local ports towards this server' },
    ],
  );
});
