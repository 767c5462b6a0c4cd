import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTableDump } from '../../../src/import/table-dump.ts';

test('a binding has its client, its server by name, and how long it lasts', () => {
  const dump = `# table: nodes, type: ip, size:204800, used:3
0x55c1: key=10.0.0.1 use=0 exp=1799000 server_id=1 server_key=s1
0x55c2: key=10.0.0.2 use=1 exp=0 shard=0 server_id=2
0x55c3: key=10.0.0.3 use=0 exp=5 conn_cur=1
# table: other, type: ipv6, size:1024, used:1
0x55c4: key=2001:db8::1 use=0 exp=7 server_id=3 server_key=a/b
0x55c5: key=10.0.0.4 use=0 exp=8 server_id=2 server_key=-

`;
  assert.deepEqual(parseTableDump(dump), [
    { table: 'nodes', client: '10.0.0.1', server: 's1', remainingMs: 1_799_000 },
    { table: 'nodes', client: '10.0.0.2', server: 2, remainingMs: Infinity },
    { table: 'other', client: '2001:db8::1', server: 'a/b', remainingMs: 7 },
    { table: 'other', client: '10.0.0.4', server: 2, remainingMs: 8 },
  ]);
});

test('another text is no dump, and an empty table is one', () => {
  assert.equal(parseTableDump('Unknown command\n'), undefined);
  assert.equal(parseTableDump('0x55c1: key=10.0.0.1 server_key=s1\n'), undefined);
  assert.deepEqual(parseTableDump('# table: nodes, type: ip, size:204800, used:0\n'), []);
});
