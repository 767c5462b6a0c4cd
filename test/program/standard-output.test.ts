/** Whatever becomes of who reads standard output: service goes on, and a drain ends with 0. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { Berth, type BerthOptions } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { askAt } from '../support/operator.ts';
import { hangs, serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

type Stand = {
  readonly berth: Berth;
  readonly visits: (count: number) => Promise<void>;
  readonly ask: (path: string) => Promise<string>;
};

/** A balancer whose log the test cannot read: clients and metrics come by unix sockets. */
async function stand(t: TestContext, options: BerthOptions): Promise<Stand> {
  const folder = folderOf(t);
  const [path, metrics] = [join(folder, 'f'), join(folder, 'metrics')];
  const rest = { metrics: { bind: `unix:${metrics}` } };
  const berth = new Berth(settings(await serve(t, ['s1'], hangs), {}, rest, { bind: `unix:${path}` }), options);
  t.after(() => berth.stop());
  const ask = async (page: string): Promise<string> =>
    String((await askAt(`unix:${metrics}`, 'GET', page).catch(() => ({ body: '' }))).body);
  await eventually('it to be ready', async () => (await ask('/readyz')) === 'ready\n');
  const visits = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left -= 100) {
      const clients = Array.from({ length: Math.min(left, 100) }, () => new Client({ path }));
      await Promise.all(clients.map((client) => client.finish()));
    }
  };
  return { berth, visits, ask };
}

/** More lines than any pipe or terminal holds. */
const MANY = 2_000;

const dropped = (metrics: string): number => Number(/^berth_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1]);

/** SIGTERM to `pid`, which nobody's reading may be needed for. */
async function ends({ berth, ask }: Stand, pid = berth.pid): Promise<void> {
  await eventually('every visit to be counted', async () =>
    (await ask('/metrics')).includes(`berth_backend_connections_ended_total{backend="b",end="--"} ${MANY}\n`),
  );
  process.kill(pid, 'SIGTERM');
  await eventually('it to be gone', () => !isRunning(pid));
}

/** Neither running nor dead and not looked after yet. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a stuck reader of a pipe: who shares the pipe may still wait for it', async (t) => {
  const fifo = join(folderOf(t), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const ours = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(ours));
  const through = ['sh', '-c', 'exec "$0" "$@" >"$FIFO" 7>&1'];
  const one = await stand(t, { through, env: { FIFO: fifo } });
  await one.visits(MANY);
  // The open file that a shell would share with it: the flags are octal, O_NONBLOCK is 0o4000.
  const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${one.berth.pid}/fdinfo/7`, 'utf8'))?.[1] ?? '';
  assert.equal(Number.parseInt(flags, 8) & constants.O_NONBLOCK, 0);
  await ends(one);
  assert.equal(await one.berth.exitCode(), 0);
  assert.equal(one.berth.stderr, '');
  const read = Buffer.alloc(1 << 16);
  assert.match(read.toString('utf8', 0, readSync(ours, read)), /"msg":"started"/);
});

test('a stuck reader of a unix socket, as journald is', async (t) => {
  const one = await stand(t, {});
  one.berth.pauseStandardOutput();
  await one.visits(MANY);
  await ends(one);
  one.berth.resumeStandardOutput();
  assert.equal(await one.berth.exitCode(), 0);
  assert.equal(one.berth.stderr, '');
});

test('a terminal that shows nothing any more', async (t) => {
  const through = ['sh', '-c', 'exec script -qec "exec $*" /dev/null', 'sh'];
  const one = await stand(t, { through, read: () => undefined });
  const { berth } = one;
  const inside = Number(readFileSync(`/proc/${berth.pid}/task/${berth.pid}/children`, 'utf8'));
  berth.signal('SIGSTOP');
  await one.visits(MANY);
  await ends(one, inside);
  berth.signal('SIGCONT');
  assert.equal(await berth.exitCode(), 0);
});

test('a full disk: lines are dropped and counted', async (t) => {
  const one = await stand(t, { through: ['sh', '-c', 'exec "$0" "$@" >/dev/full'] });
  await one.visits(MANY);
  await eventually('lines to be counted', async () => dropped(await one.ask('/metrics')) > MANY);
  await ends(one);
  assert.equal(await one.berth.exitCode(), 0);
  assert.equal(one.berth.stderr, '');
});

test(
  'a disk that is full for a while: the log says how many lines it lacks',
  { skip: noNamespaces('mount') },
  async (t) => {
    const dir = folderOf(t);
    // A file system of 64 KiB, in a mount namespace that goes with the program.
    const mount = 'mount -t tmpfs -o size=64k none "$DIR" && exec "$0" "$@" >"$DIR/log"';
    const one = await stand(t, { through: ['unshare', '--mount', 'sh', '-c', mount], env: { DIR: dir } });
    await one.visits(MANY);
    await eventually('lines to be lost', async () => dropped(await one.ask('/metrics')) > 0);
    const log = `/proc/${one.berth.pid}/root${dir}/log`;
    truncateSync(log);
    await one.visits(1);
    const lines = (): string[] =>
      readFileSync(log, 'utf8')
        .replaceAll('\0', '')
        .split('\n')
        .filter((line) => line !== '');
    const told = await eventually('the log to tell', () =>
      lines().find((line) => line.includes('lines of the log were dropped')),
    );
    assert.equal((JSON.parse(told) as { count: number }).count, dropped(await one.ask('/metrics')));
  },
);
