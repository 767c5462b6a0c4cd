import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { SharedConfig } from '../../../src/config/shared-table.ts';
import { parseRedisUrl } from '../../../src/config/shared-table.ts';
import { formatDifferences, differences } from '../../../src/generation/differences.ts';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();
const text = (shared: string): string => `${SHORTEST}    stickTable: { shared: ${shared} }\n`;
const load = (shared: string): SharedConfig | false => {
  const { stickTable } = file.config(text(shared)).backends['b']!;
  assert.ok(stickTable !== false);
  return stickTable.shared;
};
const PLAIN = {
  kind: 'server',
  master: '',
  database: 0,
  tls: false,
  user: undefined,
  password: undefined,
  timeout: 80,
};

test('one server is an address: its port is 6379 if none is said, its database 0', () => {
  assert.deepEqual(load('"redis://cache"'), { ...PLAIN, hosts: [{ host: 'cache', port: 6379 }] });
  assert.deepEqual(load('"redis://[::1]:7000/3"'), { ...PLAIN, hosts: [{ host: '::1', port: 7000 }], database: 3 });
  const whole = { ...PLAIN, hosts: [{ host: 'cache', port: 6380 }], tls: true, user: 'berth', password: 'a/b' };
  assert.deepEqual(load('"rediss://berth:a%2Fb@cache:6380/"'), whole);
  assert.deepEqual(load('""'), false);
});

test('Sentinels and a cluster are maps, and a CA or a certificate means TLS', () => {
  const hosts = [
    { host: 's1', port: 26379 },
    { host: 's2', port: 26379 },
  ];
  const sentinel = load('{ sentinels: ["s1:26379", "s2:26379"], master: m, user: u, password: p, database: 2 }');
  assert.deepEqual(sentinel, { ...PLAIN, kind: 'sentinel', hosts, master: 'm', database: 2, user: 'u', password: 'p' });
  assert.deepEqual(load('{ nodes: ["s1:26379", "s2:26379"], tls: true, timeout: 50ms, name: left }'), {
    ...PLAIN,
    kind: 'cluster',
    hosts,
    tls: true,
    timeout: 50,
    name: 'left',
  });
});

test('a password may stand in a file of its own, and outweighs none', () => {
  writeFileSync(join(file.folder, 'secret'), 'hunter2\n');
  const shared = load('{ url: "redis://h", user: u, passwordFile: secret }');
  assert.equal(shared !== false && shared.passwordFile?.content, 'hunter2');
  const sentinel = load('{ sentinels: ["h:1"], master: m, sentinelUser: u, sentinelPasswordFile: secret }');
  assert.equal(sentinel !== false && sentinel.sentinelPasswordFile?.content, 'hunter2');
});

for (const [title, given, ...expected] of [
  ['no address', '"http://h"', 'stickTable.shared: expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or redi'],
  ['two ways', '{ url: "redis://h", nodes: ["h:1"] }', 'stickTable.shared: expected one of url, sentinels and nodes'],
  ['no way', '{ user: u, password: p }', 'stickTable.shared: expected one of url, sentinels and nodes'],
  ['a nameless master', '{ sentinels: ["h:1"] }', 'stickTable.shared: sentinels and master go together'],
  [
    'half a certificate',
    '{ url: "redis://h", cert: c }',
    'stickTable.shared: cert and key go together',
    'cert: cannot',
  ],
  ['a lonely user', '{ url: "redis://h", user: u }', 'stickTable.shared: user needs password or passwordFile'],
  [
    'a lonely user of Sentinels',
    '{ sentinels: ["h:1"], master: m, sentinelUser: u }',
    'stickTable.shared: sentinelUser needs sentinelPassword or sentinelPasswordFile',
  ],
  [
    'a password for no Sentinel',
    '{ url: "redis://h", sentinelPassword: p }',
    'stickTable.shared: a password for Sentinels needs sentinels',
  ],
] as const) {
  test(`a shared table with a fault is refused: ${title}`, () => {
    const problems = file.problems(text(given));
    assert.equal(problems.length, expected.length, problems.join('\n'));
    for (const [i, part] of expected.entries()) assert.ok(problems[i]?.includes(part), problems[i]);
  });
}

test('states are shared by a table that is shared: without one, check says what is missing', () => {
  const of = (stickTable: string): string[] => file.problems(`${SHORTEST}    stickTable: ${stickTable}\n`);
  assert.deepEqual(of('{ shared: "redis://h", sharedStates: true }'), []);
  assert.deepEqual(of('{ sharedStates: false }'), []);
  for (const stickTable of ['{ sharedStates: true }', '{ shared: "", sharedStates: true }']) {
    const [problem = '', ...more] = of(stickTable);
    assert.match(problem, /sharedStates: needs shared, .* such as "shared: redis:\/\/HOST:PORT"/);
    assert.deepEqual(more, []);
  }
});

test('what a reload changes of a shared table is said without a word of its address', () => {
  const of = (shared: string): unknown => file.config(text(shared)).backends['b'];
  const found = differences(of('"redis://:hunter2@h/0"'), of('"redis://:hunter3@h/0"'));
  assert.equal(formatDifferences(found), 'stickTable.shared.password is another');
  const moved = differences(of('""'), of('{ url: "redis://hunter2", password: hunter2 }'));
  assert.equal(formatDifferences(moved), 'stickTable.shared is another');
});

test('an address never throws, and is read whole', () => {
  const word = fc.string({ unit: 'binary' });
  const part = fc.stringMatching(/^[a-z0-9%@:/.[\]]{0,12}$/);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(part, part).map(([a, b]) => `redis://${a}@${b}`),
      ),
      (spelling) => {
        void parseRedisUrl(spelling);
      },
    ),
  );
  fc.assert(
    fc.property(word, word, (user, password) => {
      const read = parseRedisUrl(`redis://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h:1/2`);
      assert.deepEqual(read, {
        host: { host: 'h', port: 1 },
        tls: false,
        user: user === '' ? undefined : user,
        password,
        database: 2,
      });
    }),
  );
});
