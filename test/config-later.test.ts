import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigFile, SHORTEST } from './support/config-file.ts';

const file = new ConfigFile();
const check = (title: string, text: string, ...expected: string[]): void =>
  void test(title, () => assert.deepEqual(file.problems(text), expected));

// What is in the schema for later versions is refused, never ignored.
for (const [text, where] of [
  ['sendProxy: v1', '9:16: backends.b.sendProxy: is not available in this version, got "v1"'],
  ['onServerDown: close', '9:19: backends.b.onServerDown: is not available in this version, got "close"'],
  ['stickTable: { shared: "redis://h/0" }', '9:27: backends.b.stickTable.shared: is not available in this version'],
] as const) {
  check(`not yet: ${text}`, `${SHORTEST}    ${text}\n`, `FILE:${where}`);
}
check(
  'not yet: sni',
  SHORTEST.replace('backend: b', 'sni: { a: b }'),
  'FILE:4:5: frontends.f.sni: is not available in this version, got a map',
);
check(
  'not yet: allow',
  SHORTEST.replace('backend: b', 'backend: b\n    allow: [10.0.0.0/8]'),
  'FILE:5:5: frontends.f.allow: is not available in this version, got a list',
);
check(
  'not yet: admin',
  `${SHORTEST}admin: { bind: "127.0.0.1:9181" }\n`,
  'FILE:9:1: admin: is not available in this version, got a map',
);
check(
  'not yet: state',
  `${SHORTEST}state: { file: x }\n`,
  'FILE:9:1: state: is not available in this version, got a map',
);
check('a value of a later version that is its default is none', `${SHORTEST}state: { file: "" }\n`);
