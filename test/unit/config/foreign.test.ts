import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { foreignFile, foreignHint } from '../../../src/config/foreign.ts';
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
    // The lists that a file names are not on this machine.
    const problems = file.problems(readFileSync(wanted)).filter((line) => !line.endsWith('no such file'));
    assert.deepEqual(problems, [], wanted);
  }
  const odd = SHORTEST.replaceAll(/\bf\b/g, 'frontend').replaceAll(/\bb\b/g, 'backend').replace('s1', 'server');
  assert.deepEqual(file.problems(odd), []);
});

test('a word is known with a prefix, words behind, in capitals, and at the place where the word stands', () => {
  const said = (key: string, ...path: string[]): string => foreignHint(key, path);
  assert.equal(said('option tcp-check'), ' option tcp-check of HAProxy or nginx is here: healthCheck: { type: tcp }');
  assert.equal(said('option-http-check'), said('http_check').replace('http_check', 'option-http-check'));
  assert.equal(
    said('SERVER web1', 'backends', 'b'),
    ' SERVER web1 of HAProxy or nginx is here: servers: NAME: HOST:PORT',
  );
  assert.equal(said('server', 'timeouts'), ' server of HAProxy or nginx is here: idle');
  assert.match(said('check', 'timeouts'), /healthCheck: \{ timeout: 2s \}/);
  for (const unknown of ['constructor', '__proto__', 'x option httpchk', 'http-option-check', 'optional', '', ' acl'])
    assert.equal(said(unknown), '', unknown);
  assert.equal(said('maxconn', 'timeouts'), '', 'no timeout is called so');
  assert.equal(said('tunnel'), '', 'a timeout alone is called so');
});

test('where one key says the same as a foreign word, the word is answered with that key', () => {
  const keys: Record<string, string> = {
    'default-backend': 'backend',
    'inspect-delay': 'prefaceTimeout',
    stick: 'stickTable',
    maxconn: 'maxConnections',
    check: 'healthCheck',
    slowstart: 'slowStart',
    proxy_pass: 'backend',
    preread_timeout: 'prefaceTimeout',
    max_conns: 'maxConnections',
  };
  for (const [word, key] of Object.entries(keys))
    assert.equal(foreignHint(word, []), ` ${word} of HAProxy or nginx is here: ${key}`);
  const timeouts = {
    client: 'idle',
    server: 'idle',
    tunnel: 'idle',
    'client-fin': 'halfClosed',
    server_fin: 'halfClosed',
  };
  for (const [word, key] of Object.entries(timeouts))
    assert.equal(foreignHint(word, ['timeouts']), ` ${word} of HAProxy or nginx is here: ${key}`);
});

test("another balancer's file is known by a section with a line in it, or by a block with a semicolon", () => {
  const haproxy = [
    'global\n log stdout\n',
    '\t global \t # all\r\n\tmaxconn 5\r\n',
    'defaults\n  mode tcp\n',
    'defaults a from  b # c\n  timeout client 1s\n',
    'x\nfrontend f\n  bind *:443\n',
    'frontend  f\t# c\n\tbind \t*:443\n',
    'listen l-1\n  server s1 10.0.0.1:1\n',
    'backend b\n  balance source\n',
    'backend b\n  option redispatch\n',
  ];
  const nginx = [
    'stream {\n  listen 1;\n}\n',
    'stream{\na b;\n}\n',
    ' \thttp \t{ \t# c\r\n  listen 1; \t# d\r\n',
    'events { # c\r\n}\r\na b;\r\n',
    'server {\n  listen 1;\n}\n',
    'x;\nupstream  u-1\t{\n}\n',
  ];
  const neither = [
    'frontend f\n',
    ' bind *:443\n',
    'frontend f\nbind *:443\n',
    'frontend f g\n  bind *:443\n',
    'frontend f: #\n  bind *:443\n',
    'frontend\n  bind *:443\n',
    'my frontend f\n  bind *:443\n',
    'frontend f\n  bind: 1\n',
    'frontend f\n  bind : 1\n',
    'frontend f\n  bind\n',
    'frontend f\n  - bind *:443\n',
    'global x\n  log y\n',
    'global:\n  log y\n',
    'globals\n  log y\n',
    'stream {\n}\n',
    'stream {\n  a: b; c\n}\n',
    'stream { listen 1; }\n',
    'stream { a\n  listen 1;\n',
    'stream x {\n  listen 1;\n}\n',
    'a stream {\n  listen 1;\n}\n',
    'upstream {\n  server a;\n}\n',
    'upstream: {\n  server: a;\n}\n',
    'listen 1;\n',
  ];
  for (const text of haproxy) assert.equal(foreignFile(text), 'a haproxy.cfg', JSON.stringify(text));
  for (const text of nginx) assert.equal(foreignFile(text), 'an nginx.conf', JSON.stringify(text));
  for (const text of neither) assert.equal(foreignFile(text), undefined, JSON.stringify(text));
});

test('an example of servers has the first address of the list, where the list has a good one', () => {
  const servers = (list: string): string =>
    file.problems(SHORTEST.replace('servers:\n      s1: registry1:5000', `servers: ${list}`)).join();
  const example = 'FILE:7:5: backends.b.servers: expected a map, got a list. Each server has a name: "servers: { s1:';
  for (const bad of [
    '[]',
    '[7]',
    '[nonsense]',
    '[null]',
    '[{ name: s1 }]',
    '[{ address: 7 }]',
    '[{ address: ["h:1"] }]',
  ])
    assert.equal(servers(bad), `${example} registry1:5000 }"`, bad);
  assert.equal(servers('["dns:r.internal:5000", "h:1"]'), `${example} dns:r.internal:5000 }"`);
  assert.deepEqual(file.problems(`${SHORTEST}timeouts: [5s]\n`), ['FILE:9:1: timeouts: expected a map, got a list']);
});
