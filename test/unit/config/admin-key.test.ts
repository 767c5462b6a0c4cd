import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { loadAdmin } from '../../../src/config/load.ts';
import { SHORTEST } from '../../support/config-file.ts';
import { folderOf } from '../../support/files.ts';

const file = join(folderOf(), 'balancer.yml');

/** The text of the admin bind that commands would ask; undefined where they cannot tell. */
function adminOf(content: string | Uint8Array): string | undefined {
  writeFileSync(file, content);
  return loadAdmin(file)?.bind.text;
}

const ADMIN = 'admin: { bind: "127.0.0.1:9999" }\n';

test('the admin address is read even where the rest of the file is wrong', () => {
  assert.equal(adminOf(`${ADMIN}frontends: 5\nnonsense: [1, 2]\n`), '127.0.0.1:9999');
  assert.equal(adminOf(SHORTEST), '127.0.0.1:9181');
  assert.equal(adminOf('admin: { bind: 5 }\n'), undefined);
});

test('a file nested too deeply has no admin address, and is given up at once', () => {
  // The parser makes a document of '? ? ? …' in a time that grows with a power of the levels: minutes for these.
  for (const open of ['? ', '[', '{ a: ', '- '])
    assert.equal(adminOf(`${ADMIN}x:\n  ${open.repeat(2_000)}\n`), undefined);
});

test('no content makes the reading of the admin address throw', () => {
  const yaml = fc.constantFrom(
    ...'&a *a : - ? | > { } [ ] , # ! " \' << null ~ admin tokenFile bind'.split(' '),
    '\n',
    '  ',
  );
  const soup = fc.array(yaml, { maxLength: 60, size: 'max' }).map((all) => all.join(''));
  const content = fc.oneof(
    soup,
    fc.uint8Array({ maxLength: 200 }),
    soup.map((text) => `${ADMIN}${text}`),
  );
  fc.assert(
    fc.property(content, (bytes) => {
      const bind = adminOf(bytes);
      assert.ok(bind === undefined || bind !== '');
    }),
    { numRuns: 500 },
  );
});
