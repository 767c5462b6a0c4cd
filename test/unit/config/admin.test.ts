import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAdmin } from '../../../src/config/load.ts';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();
const admin = (text: string): string[] => file.problems(`${SHORTEST}admin: ${text}\n`);
const open = (bind: string): string[] => [
  `FILE:9:16: admin.bind: ${bind} is open to others; add tokenFile, or bind a loopback address`,
];

test('an admin address that others can reach needs a token', () => {
  for (const bind of [
    '*:9181',
    '0.0.0.0:9181',
    '[::]:9181',
    '10.0.0.1:9181',
    '[2001:db8::1]:9181',
    'admin.example:9181',
  ]) {
    assert.deepEqual(admin(`{ bind: "${bind}" }`), open(bind));
    assert.deepEqual(admin(`{ bind: "${bind}", token: 0123456789abcdef }`), []);
  }
  for (const bind of [
    '127.0.0.1:9181',
    '127.8.8.8:9181',
    '[::1]:9181',
    '[0:0::1]:9181',
    'localhost:9181',
    'unix:/run/b.sock',
  ]) {
    assert.deepEqual(admin(`{ bind: "${bind}" }`), []);
  }
});

test('a token that is short is refused, and not repeated', () => {
  assert.deepEqual(admin('{ token: hunter2 }'), ['FILE:9:17: admin.token: expected at least 16 characters']);
  assert.deepEqual(admin('{ token: "" }'), ['FILE:9:17: admin.token: expected at least 16 characters']);
});

test('a token file is its first line, and one that is empty leaves no door open', () => {
  const path = join(file.folder, 'token');
  for (const content of ['', '\n0123456789abcdef\n', 'short\n', ' '.repeat(20)]) {
    writeFileSync(path, content);
    assert.deepEqual(admin('{ bind: "*:9181", tokenFile: token }'), [
      'FILE:9:37: admin.tokenFile: cannot be used: its first line has less than 16 characters',
    ]);
    assert.equal(loadAdmin(file.path), undefined);
  }
  writeFileSync(path, '0123456789abcdef\r\nmore\n');
  const config = file.config(`${SHORTEST}admin: { bind: "*:9181", tokenFile: token }\n`);
  assert.deepEqual(config.admin?.tokenFile, { file: 'token', content: '0123456789abcdef' });
  assert.deepEqual(loadAdmin(file.path), config.admin);
});

test('the admin address collides with others like any', () => {
  assert.deepEqual(admin('{ bind: "127.0.0.1:443" }'), [
    'FILE:9:16: admin.bind: 127.0.0.1:443 collides with *:443 of frontend f',
  ]);
  assert.deepEqual(admin('{ bind: "127.0.0.1:9180" }'), [
    'FILE:9:16: admin.bind: 127.0.0.1:9180 collides with *:9180 of metrics, by default',
  ]);
});

test('commands find the admin address in a file that is wrong elsewhere', () => {
  file.problems('frontends: 5\nadmin: { bind: "127.0.0.1:1234" }\n');
  assert.equal(loadAdmin(file.path)?.bind.text, '127.0.0.1:1234');
  file.problems('frontends: 5\n');
  assert.equal(loadAdmin(file.path)?.bind.text, '127.0.0.1:9181');
  for (const wrong of ['admin: 5\n', 'admin: { bind: x }\n', 'a: *b\n', '['.repeat(5_000)]) {
    file.problems(wrong);
    assert.equal(loadAdmin(file.path), undefined, wrong.slice(0, 40));
  }
  assert.equal(loadAdmin(join(file.folder, 'missing.yml')), undefined);
});
