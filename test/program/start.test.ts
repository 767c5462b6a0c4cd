import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { spawn } from 'node:child_process';
import { noNamespaces } from '../support/able.ts';
import { Berth, start, type BerthOptions } from '../support/berth.ts';
import { visit } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';

const NOT_ROOT = process.getuid?.() === 0 ? false : 'needs root';

/** One that a program without our rights may look into. */
function openFolder(t: TestContext): string {
  const path = folderOf(t);
  chmodSync(path, 0o755);
  return path;
}

async function listening(t: TestContext, where: { path: string } | { port: number; host: string }): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => {}).end());
  server.listen(where);
  await once(server, 'listening');
  t.after(() => server.close());
  return server;
}

/** What it says on standard error when it cannot start: one line, exit 1. */
async function refusal(t: TestContext, config: Settings, options?: BerthOptions): Promise<string> {
  const berth = new Berth(config, options);
  t.after(() => berth.stop());
  assert.equal(await berth.exitCode(), 1);
  assert.match(berth.stderr, /^berth: [^\n]+\n$/, 'one line, no stack trace');
  const fatal = berth.lines.filter(({ level }) => level === 'fatal');
  assert.deepEqual(
    fatal.map(({ msg }) => `berth: ${msg}\n`),
    [berth.stderr],
    'the log has it too',
  );
  return berth.stderr.trim();
}

test('a port that another process holds is named, with what to do', async (t) => {
  const { port } = (await listening(t, { port: 0, host: '127.0.0.1' })).address() as { port: number };
  const said = await refusal(t, settings([1], {}, {}, { bind: `127.0.0.1:${port}` }));
  const what = 'another process listens there. Stop it, or bind another address';
  assert.equal(said, `berth: cannot listen on 127.0.0.1:${port} (frontend f): ${what}`);
});

test('a metrics port that another process holds is named as such', async (t) => {
  const { port } = (await listening(t, { port: 0, host: '127.0.0.1' })).address() as { port: number };
  const config = settings([1], {}, { metrics: { bind: `127.0.0.1:${port}` } });
  assert.match(await refusal(t, config), /^berth: cannot listen on 127\.0\.0\.1:\d+ \(metrics\): another process/);
});

test('when the second of two binds fails the first is let go of', async (t) => {
  const { port } = (await listening(t, { port: 0, host: '127.0.0.1' })).address() as { port: number };
  await refusal(t, settings([1], {}, {}, { bind: ['127.0.0.1:0', `127.0.0.1:${port}`] }));
});

test('an address of another machine is refused', async (t) => {
  const said = await refusal(t, settings([1], {}, {}, { bind: '192.0.2.1:5000' }));
  assert.match(
    said,
    /^berth: cannot listen on 192\.0\.2\.1:5000 \(frontend f\): this machine does not have that address\./,
  );
  assert.match(said, /net\.ipv4\.ip_nonlocal_bind=1/);
});

test('without the right to a low port it says which right that is', { skip: NOT_ROOT }, async (t) => {
  // A fresh network namespace has the default ip_unprivileged_port_start, whatever the machine has set.
  const through = [
    'unshare',
    '--net',
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=-all',
  ];
  const readable = join(openFolder(t), 'balancer.yml');
  const config = settings([1], {}, { metrics: { bind: '0.0.0.0:0' } }, { bind: '0.0.0.0:443' });
  writeFileSync(readable, yaml(config), { mode: 0o644 });
  const said = await refusal(t, config, { through, file: readable });
  assert.match(
    said,
    /^berth: cannot listen on 0\.0\.0\.0:443 \(frontend f\): permission denied\. .*CAP_NET_BIND_SERVICE/,
  );
});

test('a unix socket that a killed process left behind is taken over', async (t) => {
  const path = join(folderOf(t), 'stale.sock');
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script]), 'exit');
  assert.equal(existsSync(path), true);
  const [server] = await serve(t, ['s1']);
  const berth = await start(t, settings([server!], {}, {}, { bind: `unix:${path}` }));
  assert.equal((await visit(berth, { path })).answered, 's1');
  berth.signal('SIGTERM');
  assert.equal(await berth.exitCode(), 0);
  assert.equal(existsSync(path), false, 'and it is cleared away at the end');
});

test('a unix socket that somebody answers at is refused, and goes on answering', async (t) => {
  const path = join(folderOf(t), 'live.sock');
  const server = await listening(t, { path });
  const said = await refusal(t, settings([1], {}, {}, { bind: `unix:${path}` }));
  assert.match(said, /^berth: cannot listen on unix:\/\S+ \(frontend f\): another process listens there/);
  assert.equal(existsSync(path), true);
  assert.equal(server.listening, true);
});

test('a file that stands where a unix socket is wanted is left alone', async (t) => {
  const path = join(folderOf(t), 'precious');
  writeFileSync(path, 'years of work');
  const said = await refusal(t, settings([1], {}, {}, { bind: `unix:${path}` }));
  assert.match(said, /^berth: cannot listen on unix:\/\S+ \(frontend f\): .*no socket/);
  assert.equal(readFileSync(path, 'utf8'), 'years of work');
});

test('a unix socket in a folder that is not there is refused for that reason', async (t) => {
  const said = await refusal(t, settings([1], {}, {}, { bind: `unix:${folderOf(t)}/missing/berth.sock` }));
  assert.match(
    said,
    /\(frontend f\): the folder of the socket does not exist\. Make the folder, or bind another path$/,
  );
});

test('unix sockets of a frontend and of the admin address have their mode and group from the start', async (t) => {
  const folder = folderOf(t);
  const group = process.getgid?.() ?? 0;
  const at = (name: string, mode: string): object => ({ address: `unix:${join(folder, name)}`, mode, group });
  const file = settings(
    [1],
    { healthCheck: false },
    { admin: { bind: at('admin', '0600') } },
    { bind: at('f', '0666') },
  );
  await start(t, file, { through: ['sh', '-c', 'umask 077; exec "$@"', 'sh'] });
  const seen = ['admin', 'f'].map((name) => statSync(join(folder, name))).map(({ mode, gid }) => [mode & 0o777, gid]);
  assert.deepEqual(seen, [
    [0o600, group],
    [0o666, group],
  ]);
});

test('where there is no /proc, as in a chroot, it starts and serves', { skip: noNamespaces('mount') }, async (t) => {
  const [s1] = await serve(t, ['s1']);
  const hide = 'mount -t tmpfs none /proc && exec "$@"';
  const berth = await start(t, settings([s1!]), { through: ['unshare', '--mount', 'sh', '-c', hide, 'hide'] });
  assert.equal((await visit(berth, { port: await berth.port() })).answered, 's1');
  const { maxConnections } = await berth.line(({ event }) => event === 'started');
  assert.ok(Number(maxConnections) > 400, String(maxConnections));
});
