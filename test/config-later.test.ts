import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigFile, SHORTEST } from './support/config-file.ts';

const file = new ConfigFile();
const check = (title: string, text: string, ...expected: string[]): void =>
  void test(title, () => assert.deepEqual(file.problems(text), expected));

// What is in the schema for later versions is refused, never ignored.
check(
  'not yet: a shared table',
  `${SHORTEST}    stickTable: { shared: "redis://h/0" }\n`,
  'FILE:9:27: backends.b.stickTable.shared: is not available in this version',
);
check(
  'not yet: state',
  `${SHORTEST}state: { file: x }\n`,
  'FILE:9:1: state: is not available in this version, got a map',
);
check('a value of a later version that is its default is none', `${SHORTEST}state: { file: "", interval: 30s }\n`);
