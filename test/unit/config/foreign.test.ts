import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';
import { specimens } from '../../support/corpus.ts';

const file = new ConfigFile();

/** What is said of a backend with these keys beside its servers. */
const problemsWith = (...lines: readonly string[]): string[] =>
  file.problems(SHORTEST + lines.map((line) => `    ${line}\n`).join(''));

test("a word of HAProxy's or nginx's gets the key that says the same", () => {
  assert.deepEqual(problemsWith('stick-table: x', 'option httpchk: x', 'least_conn: true', 'maxconn: 5'), [
    'FILE:9:5: backends.b.stick-table: unknown key. stick-table of HAProxy or nginx is here: ' +
      'stickTable: { size: 200k, expire: 30m }',
    'FILE:10:5: backends.b.option httpchk: unknown key. option httpchk of HAProxy or nginx is here: ' +
      'healthCheck: { type: http, path: /PATH }',
    'FILE:11:5: backends.b.least_conn: unknown key. least_conn of HAProxy or nginx is here: balance: leastconn',
    'FILE:12:5: backends.b.maxconn: unknown key. maxconn of HAProxy or nginx is here: maxConnections',
  ]);
  assert.deepEqual(file.problems(`${SHORTEST}timeouts: { client: 5s, server: 5s }\n`), [
    'FILE:9:13: timeouts.client: unknown key. client of HAProxy or nginx is here: idle',
    'FILE:9:25: timeouts.server: unknown key. server of HAProxy or nginx is here: idle',
  ]);
});

test('a slip of the pen is still asked about, and a word of nobody has the known keys', () => {
  assert.match(problemsWith('balence: source').join(), /unknown key\. Did you mean "balance"\?$/);
  assert.match(problemsWith('__proto__x: 1').join(), /unknown key\. Known here: balance, /);
});

test('servers that are a list are explained with an example', () => {
  const text = SHORTEST.replace('      s1: registry1:5000', '      - registry7:5000');
  assert.deepEqual(file.problems(text), [
    'FILE:7:5: backends.b.servers: expected a map, got a list. Each server has a name: "servers: { s1: registry7:5000 }"',
  ]);
  const maps = SHORTEST.replace('      s1: registry1:5000', '      - { name: s1, address: "registry8:5000" }');
  assert.match(file.problems(maps).join(), /"servers: \{ s1: registry8:5000 \}"$/);
});

test('a haproxy.cfg or an nginx.conf in the place of a balancer.yml is known for what it is', () => {
  for (const [extension, kind] of [
    ['cfg', 'a haproxy.cfg'],
    ['conf', 'an nginx.conf'],
  ] as const) {
    for (const { path } of specimens(extension)) {
      assert.deepEqual(
        file.problems(readFileSync(path)),
        [`FILE:1:1: this is ${kind}; "berth import FILE" prints the balancer.yml that does the same`],
        path,
      );
    }
  }
});

test('a balancer.yml is not taken for another file, whatever it is called in it', () => {
  for (const { wanted } of [...specimens('cfg'), ...specimens('conf')]) {
    assert.deepEqual(file.problems(readFileSync(wanted)), [], wanted);
  }
  const odd = SHORTEST.replaceAll(/\bf\b/g, 'frontend').replaceAll(/\bb\b/g, 'backend').replace('s1', 'server');
  assert.deepEqual(file.problems(odd), []);
});
