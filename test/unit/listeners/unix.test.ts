/** Who may connect to a unix socket. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Bind } from '../../../src/config/values.ts';
import { Listeners, type ListenersStep } from '../../../src/listeners/listeners.ts';
import type { Site } from '../../../src/listeners/site.ts';
import { folderOf } from '../../support/files.ts';
import { parking } from '../../support/listening.ts';

type Permissions = { readonly mode?: number; readonly group?: string | number };

const ROOT = process.getuid?.() === 0;

function stage(t: TestContext) {
  const all = new Listeners({ listenFailed() {}, listensAtLast() {} });
  t.after(() => all.close());
  const path = join(folderOf(t), 'berth.sock');
  const site = (permissions: Permissions): Site => {
    const bind: Bind = { kind: 'unix', path, text: `unix:${path}`, ...permissions };
    return { owner: { kind: 'frontend', name: 'f' }, bind, take: (socket) => void socket.destroy() };
  };
  const plan = (permissions: Permissions): Promise<ListenersStep> => all.plan([site(permissions)], parking());
  return { path, plan };
}

/** Mode and group. */
function seen(path: string): [string, number] {
  const { mode, gid } = statSync(path);
  return [(mode & 0o777).toString(8), gid];
}

/** A group that is not this process's: where that is not root, it can give a socket to no other. */
function group(): { name: string; gid: number } {
  const rows = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const row = rows.find(([, , gid]) => (ROOT ? Number(gid) > 0 : Number(gid) === process.getegid?.()));
  return { name: row?.[0] ?? '', gid: Number(row?.[2]) };
}

test('a mode and a group are there with the socket, whatever the umask', async (t) => {
  const { name, gid } = group();
  for (const umask of [0o000, 0o022, 0o077]) {
    const before = process.umask(umask);
    t.after(() => process.umask(before));
    for (const [permissions, wanted] of [
      [{ mode: 0o660, group: name }, ['660', gid]],
      [{ mode: 0o606, group: gid }, ['606', gid]],
      [{ group: name }, ['660', gid]],
      [{ mode: 0o666 }, ['666', process.getegid?.()]],
      [{}, [(0o777 & ~umask).toString(8), process.getegid?.()]],
    ] as const) {
      const { path, plan } = stage(t);
      (await plan(permissions)).commit();
      assert.deepEqual(seen(path), wanted);
      assert.equal(process.umask(umask), umask, 'and the umask is what it was');
    }
    process.umask(before);
  }
});

test('a reload changes them, a rollback takes that back, and the socket stays', async (t) => {
  const { name, gid } = group();
  const { path, plan } = stage(t);
  (await plan({ mode: 0o600 })).commit();
  const { ino } = statSync(path);
  const own = process.getegid?.();
  const step = await plan({ mode: 0o660, group: name });
  step.rollback();
  assert.deepEqual(seen(path), ['600', own]);
  (await plan({ mode: 0o660, group: name })).commit();
  assert.deepEqual(seen(path), ['660', gid]);
  chmodSync(path, 0o640);
  (await plan({ mode: 0o660, group: name })).commit();
  assert.deepEqual(seen(path), ['640', gid], 'what the file has not changed is left to whoever changed it');
  (await plan({})).commit();
  assert.deepEqual(seen(path), [(0o777 & ~process.umask()).toString(8), own]);
  assert.equal(statSync(path).ino, ino);
});

test('a group that does not exist is a problem that says so, and leaves no socket', async (t) => {
  const { path, plan } = stage(t);
  await assert.rejects(plan({ group: 'no-such-group' }), /there is no group no-such-group in \/etc\/group\. Add it/);
  assert.throws(() => statSync(path), { code: 'ENOENT' });
});

test('a socket that somebody answers at keeps its mode', async (t) => {
  const { path, plan } = stage(t);
  const other = createServer().listen(path);
  await new Promise((resolve) => other.once('listening', resolve));
  t.after(() => other.close());
  chmodSync(path, 0o600);
  await assert.rejects(plan({ mode: 0o666 }), /another process listens there/);
  assert.equal(seen(path)[0], '600');
});
