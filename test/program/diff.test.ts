/** `berth diff`: what a reload would change. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { command } from '../support/operator.ts';
import { Client } from '../support/clients.ts';
import { clients, places } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';

test('diff says it in words, exits 0, 1 or 2, and changes nothing', async (t) => {
  const [s1, s2] = await serve(t, ['s1', 's2']);
  const folder = folderOf(t);
  const admin = { admin: { bind: `unix:${join(folder, 'admin.sock')}` } };
  const file = settings([s1!, s2!], { healthCheck: false }, admin);
  const berth = await start(t, file);
  assert.deepEqual(await places(await berth.port(), clients(2)), ['s1', 's2']);
  const same = { code: 0, out: 'a reload would change nothing\n', err: '' };
  assert.deepEqual(await command('diff', '-c', berth.file), same);
  assert.deepEqual(await command('diff', berth.file, '-c', berth.file), same);
  const other = join(folder, 'other.yml');
  writeFileSync(other, yaml(settings([s1!], { healthCheck: false }, admin)));
  const differs = await command('diff', other, '-c', berth.file);
  assert.deepEqual(differs, {
    code: 1,
    out: '- server b/s2 (1 client)\n1 client would get a server anew; 0 open connections of what leaves would go on\n',
    err: '',
  });
  const json = await command('diff', other, '--json', '-c', berth.file);
  assert.equal(json.code, 1);
  assert.deepEqual(
    (JSON.parse(json.out) as { changes: { what: string }[] }).changes.map(({ what }) => what),
    ['server b/s2'],
  );
  writeFileSync(other, 'frontend: {}\n');
  const wrong = await command('diff', other, '-c', berth.file);
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.ok(wrong.err.includes(`${other}:1:1: frontend: unknown key`), wrong.err);
  assert.equal((await command('diff', '/nowhere.yml', '-c', berth.file)).code, 2);
  berth.signal('SIGTERM');
  await berth.exitCode();
  writeFileSync(other, yaml(file));
  const nobody = await command('diff', '-c', other);
  assert.deepEqual([nobody.code, nobody.out], [2, '']);
  assert.match(nobody.err, /there is no such socket/);
});

test('diff says what comes, leaves and changes, which binds open and close, and whom it concerns', async (t) => {
  const [s1, s2, s3] = await serve(t, ['s1', 's2', 's3']);
  const folder = folderOf(t);
  const admin = { admin: { bind: `unix:${join(folder, 'admin.sock')}` } };
  const settled = { healthCheck: false } as const;
  const file = settings([s1!, s2!], settled, admin);
  const berth = await start(t, file);
  const port = await berth.port();
  assert.deepEqual(await places(port, clients(4)), ['s1', 's2', 's1', 's2']);
  const open = new Client({ port, from: '127.0.7.1' });
  assert.equal(await open.line(), 's1');
  const binds = [1, 2].map((n) => `unix:${join(folder, `bind-${n}.sock`)}`);
  const f = file.frontends['f']!;
  const secret = 'a-secret-of-sixteen';
  const table: [string, object, string[]][] = [
    [
      'a server at another address',
      settings([], { ...settled, servers: { s1: s3!.address, s2: s2!.address } }, admin),
      [
        `~ server b/s1: address: ${s1!.address} -> ${s3!.address} (2 clients, 1 connection)`,
        '2 clients',
        '1 open connection',
      ],
    ],
    [
      'a table by other networks',
      settings([s1!, s2!], { ...settled, stickTable: { prefix: { ipv4: 24 } } }, admin),
      ['~ backend b: stickTable.prefix.ipv4: 32 -> 24 (4 clients)', '4 clients', '0 open connections'],
    ],
    [
      'no table',
      settings([s1!, s2!], { ...settled, stickTable: false }, admin),
      [
        '~ backend b: stickTable: { key: src, prefix: { ipv4: 32, ipv6: 64 }, size: 200000, expire: 30m, failback: stay, shared: false, sharedStates: fal… -> false (4 clients)',
        '4 clients',
        '0 open connections',
      ],
    ],
    [
      'a table with less room',
      settings([s1!, s2!], { ...settled, stickTable: { size: '3' } }, admin),
      ['~ backend b: stickTable.size: 200000 -> 3 (1 client)', '1 client', '0 open connections'],
    ],
    [
      'a frontend with another bind',
      { ...file, frontends: { f: { ...f, bind: ['127.0.0.1:0', binds[0]] } } },
      [
        `+ bind ${binds[0]} of frontend f`,
        `~ frontend f: bind: [127.0.0.1:0] -> [127.0.0.1:0 ${binds[0]}]`,
        '0 clients',
        '0 open connections',
      ],
    ],
    [
      'a frontend under another name',
      { ...file, frontends: { g: { ...f, bind: binds[1] } } },
      [
        `+ bind ${binds[1]} of frontend g`,
        `- bind 127.0.0.1:${port} of frontend f`,
        '- frontend f (1 connection)',
        '+ frontend g',
        '0 clients',
        '1 open connection',
      ],
    ],
    [
      'another backend',
      {
        ...file,
        frontends: { f: { ...f, backend: 'c' } },
        backends: { c: { ...settled, servers: { s1: s1!.address } } },
      },
      [
        '~ frontend f: backend: b -> c',
        '- backend b (4 clients, 1 connection)',
        '+ backend c',
        `+ server c/s1: address: ${s1!.address}`,
        '4 clients',
        '1 open connection',
      ],
    ],
    [
      'an admin address with a token',
      { ...file, admin: { bind: binds[0], token: secret } },
      [
        `+ bind ${binds[0]} of admin`,
        `- bind ${admin.admin.bind} of admin`,
        `~ admin: bind: ${admin.admin.bind} -> ${binds[0]}; token is another`,
        '0 clients',
        '0 open connections',
      ],
    ],
    [
      'who may come',
      { ...file, frontends: { f: { ...f, allow: ['10.0.0.0/8'] } } },
      ['~ frontend f: allow: [] -> [10.0.0.0/8]', '0 clients', '0 open connections'],
    ],
  ];
  const other = join(folder, 'other.yml');
  for (const [what, after, wanted] of table) {
    writeFileSync(other, yaml(after as typeof file));
    const { code, out, err } = await command('diff', other, '-c', berth.file);
    assert.deepEqual([code, err], [1, ''], what);
    const lines = out.trimEnd().split('\n');
    const [concerned, connections] = wanted.splice(-2);
    assert.equal(lines.pop(), `${concerned} would get a server anew; ${connections} of what leaves would go on`, what);
    assert.deepEqual(lines, wanted, what);
    assert.equal(out.includes(secret), false);
  }
  // An address that another program has, which the balancer would meet at the reload.
  writeFileSync(other, yaml({ ...file, frontends: { f, g: { ...f, bind: s3!.address } } }));
  const taken = await command('diff', other, '-c', berth.file);
  assert.deepEqual([taken.code, taken.out], [2, '']);
  assert.match(taken.err, /^cannot listen on \S+ \(frontend g\): another process listens there/);
  assert.deepEqual(await places(port, clients(4)), ['s1', 's2', 's1', 's2'], 'nothing has changed');
  await open.finish();
});
