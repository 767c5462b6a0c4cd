/** `berth table --haproxy`: the way back to HAProxy, without a client that moves. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BERTH, start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { NO_HAPROXY } from '../support/haproxy.ts';
import { places } from '../support/people.ts';
import { settings, yaml } from '../support/settings.ts';
import { stageHaproxy } from '../support/stage.ts';

function table(folder: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const [program, ...rest] = [...BERTH, 'table', '--haproxy', ...args];
  return spawnSync(program, rest, { cwd: folder, encoding: 'utf8', timeout: 30_000 });
}

/** A folder with a balancer.yml of two servers, and a state file `kept`. */
function folderWith(t: TestContext, bindings: readonly object[]): string {
  const folder = folderOf(t);
  const servers = ['127.0.0.1:1', '127.0.0.1:2'].map((address) => ({ address }));
  writeFileSync(join(folder, 'balancer.yml'), yaml(settings(servers)));
  const head = { format: 'berth state 1', savedAt: Date.now() };
  const lines = [head, ...bindings, { lines: bindings.length }].map((line) => `${JSON.stringify(line)}\n`);
  writeFileSync(join(folder, 'kept'), lines.join(''));
  return folder;
}

const bound = (client: string, server: string, ms = 60_000): object => ({ backend: 'b', server, client, ms });

test('each binding of a state file is a line, with the number that HAProxy gives the server', (t) => {
  const folder = folderWith(t, [
    { backend: 'b', server: 's2', state: 'drain' },
    bound('10.0.0.1', 's2'),
    bound('2001:db8::/64', 's1', 90_000),
    bound('10.0.0.9', 's1', -1),
  ]);
  const { status, stdout, stderr } = table(folder, '--state', 'kept');
  assert.deepEqual(stdout.split('\n'), [
    'clear table b key 10.0.0.1; set table b key 10.0.0.1 data.server_id 2',
    'clear table b key 2001:db8::; set table b key 2001:db8:: data.server_id 1',
    '',
  ]);
  assert.equal(stderr, 'berth: clients that are networks: 1; HAProxy finds them by `stick on src,ipmask(…)`\n');
  assert.equal(status, 0);
});

test('the numbers of --ids stand before the order, and who is not in them is left out', (t) => {
  const folder = folderWith(t, [bound('10.0.0.1', 's1'), bound('10.0.0.2', 's2')]);
  const dump = '1\n# be_id be_name srv_id srv_name srv_addr\n3 b 7 s2 10.0.0.1 2 0\n3 b 8 s3 10.0.0.1 2 0\n\n';
  writeFileSync(join(folder, 'servers.txt'), dump);
  const { status, stdout, stderr } = table(folder, '--state', 'kept', '--ids', 'servers.txt');
  assert.equal(stdout, 'clear table b key 10.0.0.2; set table b key 10.0.0.2 data.server_id 7\n');
  assert.equal(stderr, 'berth: bindings left out, since HAProxy has no such servers: 1\n');
  assert.equal(status, 1);
});

test('where no binding can be had, it says why, and exits with 2', (t) => {
  const folder = folderWith(t, []);
  const refused = (args: readonly string[], why: RegExp): void => {
    const { status, stdout, stderr } = table(folder, ...args);
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    assert.match(stderr, why);
  };
  refused(['--state', 'none'], /^berth: cannot read none: no such file$/m);
  refused(['--state', 'balancer.yml'], /^berth: cannot read balancer\.yml: /m);
  refused(['--state', 'kept', '--ids', 'none'], /^berth: cannot read none: no such file$/m);
  refused(['--state', 'kept', '--ids', 'kept'], /^berth: kept: it is not the output of `show servers state`$/m);
  refused(['--state', 'kept', '-c', 'none.yml'], /^none\.yml:1:1: cannot read the file/m);
});

test(
  'HAProxy sends each client where Berth had it, though it had the client elsewhere',
  { skip: NO_HAPROXY },
  async (t) => {
    const stage = await stageHaproxy(t, 3, {});
    const people = Array.from({ length: 7 }, (_, i) => `127.63.0.${i + 1}`);
    const folder = folderOf(t);
    const servers = stage.servers.map(({ name, address }) => ({ name, address }));
    const config = settings(servers, {}, { state: { file: join(folder, 'kept') } });
    writeFileSync(join(folder, 'balancer.yml'), yaml(config));
    const berth = await start(t, config);
    const there = await places(await berth.port(), people);
    const elsewhere = await places(stage.port, people.toReversed());
    assert.notDeepEqual(elsewhere, there.toReversed());
    berth.signal('SIGTERM');
    await berth.exited;
    const { status, stdout, stderr } = table(folder, '--state', 'kept');
    assert.equal(status, 0, stderr);
    assert.equal(stdout.split('\n').length, people.length + 1);
    await stage.say(`prompt\n${stdout}quit`);
    assert.equal(await stage.entries(), people.length);
    assert.deepEqual(await places(stage.port, people), there);
  },
);
