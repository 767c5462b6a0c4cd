/** What is allowed and probably not meant. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblem } from '../../../src/config/locate.ts';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();

function warnings(content: string): string[] {
  const loaded = file.load(content);
  assert.ok(loaded.kind === 'config');
  return loaded.warnings.map((one) => formatProblem(one).replace(file.path, 'FILE'));
}

const TWICE = 'a node that is to have more clients takes a weight';

test('of three servers at one address, the second and the third are told of the first', () => {
  assert.deepEqual(
    warnings(`${SHORTEST}      s2: registry1:5000\n      s3: { address: registry1:5000, weight: 2 }\n`),
    [
      `FILE:9:7: backends.b.servers.s2: registry1:5000 is the address of s1 too; ${TWICE}`,
      `FILE:10:7: backends.b.servers.s3: registry1:5000 is the address of s1 too; ${TWICE}`,
    ],
  );
});

test('a service that DNS names twice is told by its name, which has no port', () => {
  assert.deepEqual(warnings(`${SHORTEST}      s2: srv:_r._tcp.Example.com\n      s3: srv:_r._tcp.example.com\n`), [
    `FILE:10:7: backends.b.servers.s3: srv:_r._tcp.example.com is the address of s2 too; ${TWICE}`,
  ]);
});

test('a backend that server names alone lead to has its clients', () => {
  assert.deepEqual(warnings(SHORTEST.replace('backend: b', 'sni: { a.example: b }')), []);
});

test('warnings come in the order of the file', () => {
  const spare = '  spare: { servers: { s1: "spare1:5000" } }\n  b:\n';
  assert.deepEqual(warnings(`${SHORTEST.replace('  b:\n', spare)}      s2: registry1:5000\n`), [
    'FILE:6:3: backends.spare: no frontend sends clients here',
    `FILE:10:7: backends.b.servers.s2: registry1:5000 is the address of s1 too; ${TWICE}`,
  ]);
});
