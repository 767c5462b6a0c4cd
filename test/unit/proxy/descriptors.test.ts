/** How many connections fit below the limit of open files. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { schema } from '../../../src/config/schema.ts';
import { connectionCapacity, openFiles } from '../../../src/proxy/descriptors.ts';

const config = schema.parse({
  frontends: { f: { bind: ['*:443', '*:444'], backend: 'b' }, g: { bind: '*:445', backend: 'c' } },
  backends: { b: { servers: { s1: 'h:1', s2: 'h:2' } }, c: { servers: { s3: 'h:3' } } },
});
/** As a shell sees it, whose soft limit may be lower: Node raises its own to the hard one. */
const limit = Number(execFileSync('sh', ['-c', 'ulimit -H -n'], { encoding: 'utf8' }));

test('each connection takes two files, after those for binds, servers, other files and a reserve of 32', () => {
  const of = (otherFiles: number): number => connectionCapacity(config, otherFiles);
  assert.equal(of(0), Math.floor((limit - 3 - 3 - 32) / 2));
  assert.equal(of(10), Math.floor((limit - 10 - 3 - 3 - 32) / 2));
});

test(
  'a limit that leaves no room for a connection is told before anybody listens',
  { skip: limit === Infinity },
  () => {
    const all = limit - 3 - 3 - 32;
    assert.equal(connectionCapacity(config, all - 2), 1);
    for (const otherFiles of [all - 1, all, limit]) {
      const message = `the open-file limit of ${limit} leaves no room for connections; raise it (ulimit -n, LimitNOFILE=)`;
      assert.throws(() => connectionCapacity(config, otherFiles), { code: 'EMFILE', message });
    }
  },
);

test('a file that is opened is counted', () => {
  const before = openFiles();
  const file = openSync('/dev/null', 'r');
  assert.equal(openFiles(), before + 1);
  closeSync(file);
  assert.equal(openFiles(), before);
});
