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

test('a server that is a frontend of this file is told, by whatever address this machine has', () => {
  const servers = (...addresses: string[]): string =>
    addresses.map((address, i) => `      s${i + 2}: "${address}"\n`).join('');
  const own = (host: string, line: number): string =>
    `FILE:${line}:7: backends.b.servers.s${line - 7}: ${host}:443 is where f listens; ` +
    'Berth would connect to itself, without end';
  const others = servers('10.99.99.99:443', '127.0.0.1:444', 'dns:localhost:443', 'registry.example.com:443');
  const everywhere = SHORTEST + servers('127.0.0.1:443', 'localhost:443', '127.0.0.2:443');
  assert.deepEqual(warnings(everywhere + others.replace(/s(\d)/g, (_, i) => `o${i}`)), [
    own('127.0.0.1', 9),
    own('127.0.0.1', 10),
    own('127.0.0.2', 11),
  ]);
  const one = SHORTEST.replace('*:443', '10.99.99.99:443') + servers('10.99.99.99:443', '127.0.0.1:443');
  assert.deepEqual(warnings(one), [own('10.99.99.99', 9)]);
});
