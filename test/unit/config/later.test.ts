import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();
const check = (title: string, text: string, ...expected: string[]): void =>
  void test(title, () => assert.deepEqual(file.problems(text), expected));

// What is in the schema for later versions is refused, never ignored.
check(
  'not yet: a shared table',
  `${SHORTEST}    stickTable: { shared: "redis://h/0" }\n`,
  'FILE:9:27: backends.b.stickTable.shared: is not available in this version',
);
check('a value of a later version that is its default is none', `${SHORTEST}    stickTable: { shared: "" }\n`);
