/** Sockets that somebody else keeps open, as systemd does for a unit with a .socket. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BERTH, type LogLine } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { Crowd, whoServes } from '../support/people.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml, type Settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Starts the program anew with each line it reads, and says what becomes of it. The sockets are its own. */
const KEEPER = `
  while read -r line; do
    sh -c 'echo "{\\"msg\\":\\"pid\\",\\"pid\\":$$}"; LISTEN_PID=\${OTHER_PID:-$$} exec "$@"' sh "$@"
    echo "{\\"msg\\":\\"exit\\",\\"code\\":$?}"
  done`;

/** Keeps listening sockets while the balancer comes and goes. */
class Keeper {
  readonly lines: LogLine[] = [];
  readonly ports: number[];
  readonly file: string;
  readonly #child: ChildProcess;

  private constructor(listeners: readonly Server[], file: string, env: Readonly<Record<string, string>>) {
    this.file = file;
    this.ports = listeners.map((listener) => (listener.address() as AddressInfo).port);
    const handles = listeners as unknown as { _handle: { fd: number } }[];
    this.#child = spawn('sh', ['-c', KEEPER, 'sh', ...BERTH, 'start', '-c', file], {
      stdio: ['pipe', 'pipe', 'ignore', ...handles.map(({ _handle }) => _handle.fd)],
      env: { ...process.env, LISTEN_FDS: String(listeners.length), ...env },
    });
    let rest = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.lines.push(JSON.parse(line) as LogLine);
    });
  }

  static async with(
    t: TestContext,
    sockets: number,
    file: Settings,
    env: Record<string, string> = {},
  ): Promise<Keeper> {
    const path = join(folderOf(t), 'balancer.yml');
    writeFileSync(path, yaml(file));
    const listeners = Array.from({ length: sockets }, () => createServer().listen(0, '127.0.0.1'));
    await Promise.all(listeners.map((listener) => once(listener, 'listening')));
    const keeper = new Keeper(listeners, path, env);
    // The keeper has them: nobody is accepted here.
    for (const listener of listeners) listener.close();
    t.after(() => keeper.#end());
    return keeper;
  }

  /** Resolves to the line that has come since `from`. */
  line(msg: string, from = 0): Promise<LogLine> {
    return eventually(`the line ${msg}`, () => this.lines.slice(from).find((line) => line.msg === msg));
  }

  async start(): Promise<void> {
    const seen = this.lines.length;
    this.#child.stdin?.write('start\n');
    await this.line('started', seen);
  }

  /** Resolves to the exit code. */
  async stop(): Promise<unknown> {
    const seen = this.lines.length;
    this.signal('SIGTERM');
    return (await this.line('exit', seen))['code'];
  }

  get pid(): number {
    return Number(this.lines.findLast(({ msg }) => msg === 'pid')?.['pid']);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  addresses(frontend: string): string[] {
    const line = this.lines.findLast((one) => one.msg === 'listening' && one['frontend'] === frontend);
    return String(line?.['address']).split(' ');
  }

  async #end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end();
    const pids = this.lines.filter(({ msg }) => msg === 'pid').length;
    if (pids > this.lines.filter(({ msg }) => msg === 'exit').length) this.signal('SIGKILL');
    await closed;
  }
}

/** The listening TCP sockets that a process has open. */
function listeningInodes(pid: number): string[] {
  const rows = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1);
  const listening = new Set(
    rows.map((row) => row.trim().split(/\s+/)).flatMap((row) => (row[3] === '0A' ? row[9] : [])),
  );
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return open.filter((link) => listening.has(/^socket:\[(\d+)\]$/.exec(link)?.[1]));
}

const QUIET = { log: { connections: false } };

test('while its socket is kept the balancer may be started again and again: nobody is refused', async (t) => {
  const keeper = await Keeper.with(t, 1, settings(await serve(t, ['s1', 's2']), {}, QUIET));
  const [port = 0] = keeper.ports;
  await keeper.start();
  assert.deepEqual(keeper.addresses('f'), [`127.0.0.1:${port}`], 'not where the file says');
  const crowd = new Crowd(port, 4);
  for (let i = 0; i < 6; i++) {
    assert.equal(await keeper.stop(), 0);
    await keeper.start();
  }
  const { calls } = crowd;
  await eventually('the crowd to go on', () => crowd.calls > calls + 8);
  await crowd.leave();
  assert.deepEqual(crowd.failures, []);
  t.diagnostic(`${crowd.calls} connections over 6 restarts`);
});

test('a bind in whose way the kept socket stands is refused, since only its keeper can close that', async (t) => {
  const plain = settings(await serve(t, ['s1']), {}, QUIET);
  const keeper = await Keeper.with(t, 1, plain);
  const [port = 0] = keeper.ports;
  await keeper.start();
  writeFileSync(keeper.file, yaml({ ...plain, frontends: { f: { bind: `*:${port}`, backend: 'b' } } }));
  keeper.signal('SIGHUP');
  const { problems } = await keeper.line('reload failed; the old configuration stays in force');
  const kept = `systemd keeps 127.0.0.1:${port} open for this balancer. Change the socket unit, and restart both`;
  assert.deepEqual(problems, [`cannot listen on *:${port} (frontend f): ${kept}`]);
  assert.equal(await whoServes(port), 's1');
});

test('who comes while no balancer runs is served by the next one', async (t) => {
  const keeper = await Keeper.with(t, 1, settings(await serve(t, ['s1'])));
  const early = new Client({ port: keeper.ports[0]! });
  await once(early.socket, 'connect');
  early.socket.write('hello');
  await keeper.start();
  assert.equal((await early.bytes('s1\nhello'.length)).toString(), 's1\nhello');
  assert.equal(await early.finish(), 'end');
});

test('connections that stand when it is told to end go on to their end, while the next clients wait for its successor', async (t) => {
  const keeper = await Keeper.with(t, 1, settings(await serve(t, ['s1'])));
  await keeper.start();
  const [port = 0] = keeper.ports;
  const inside = new Client({ port });
  await inside.line();
  const seen = keeper.lines.length;
  keeper.signal('SIGTERM');
  await keeper.line('draining', seen);
  inside.socket.write('still here');
  await inside.bytes('s1\nstill here'.length);
  assert.equal(await inside.finish(), 'end');
  assert.equal((await keeper.line('exit', seen))['code'], 0);
  const next = whoServes(port);
  await keeper.start();
  assert.equal(await next, 's1');
});

test('names choose the frontend; a frontend without a socket of its name opens its own', async (t) => {
  const servers = await serve(t, ['s1', 's2', 's3']);
  const bind = '127.0.0.1:0';
  const file = {
    ...settings([]),
    frontends: { f: { bind, backend: 'b1' }, g: { bind, backend: 'b2' }, h: { bind, backend: 'b3' } },
    backends: Object.fromEntries(servers.map(({ address }, i) => [`b${i + 1}`, { servers: { only: address } }])),
  };
  const keeper = await Keeper.with(t, 2, file, { LISTEN_FDNAMES: 'g:f' });
  await keeper.start();
  const [forG = 0, forF = 0] = keeper.ports;
  assert.equal(await whoServes(forG), 's2');
  assert.equal(await whoServes(forF), 's1');
  const [own = ''] = keeper.addresses('h');
  assert.ok(!keeper.ports.includes(Number(own.split(':')[1])));
  assert.equal(await whoServes(Number(own.split(':')[1])), 's3');
});

test('sockets without a name, or with the name of the unit, go to the frontends in their order', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = {
    ...settings([]),
    frontends: {
      f: { bind: ['127.0.0.1:0', '127.0.0.2:0'], backend: 'b1' },
      g: { bind: '127.0.0.1:0', backend: 'b2' },
    },
    backends: Object.fromEntries(servers.map(({ address }, i) => [`b${i + 1}`, { servers: { only: address } }])),
  };
  const keeper = await Keeper.with(t, 3, file, { LISTEN_FDNAMES: 'berth.socket:g' });
  await keeper.start();
  const [first = 0, named = 0, unnamed = 0] = keeper.ports;
  assert.deepEqual(await Promise.all([first, unnamed, named].map((port) => whoServes(port))), ['s1', 's1', 's2']);
});

test('a reload keeps the sockets that it was given', async (t) => {
  const keeper = await Keeper.with(t, 1, settings(await serve(t, ['s1'])));
  await keeper.start();
  const seen = keeper.lines.length;
  keeper.signal('SIGHUP');
  await keeper.line('reloaded', seen);
  assert.ok(!keeper.lines.slice(seen).some(({ msg }) => msg === 'listening'));
  assert.equal(await whoServes(keeper.ports[0]!), 's1');
});

test('sockets that are meant for another process are left alone', async (t) => {
  const keeper = await Keeper.with(t, 1, settings(await serve(t, ['s1'])), { OTHER_PID: '1' });
  await keeper.start();
  const [own = ''] = keeper.addresses('f');
  assert.notEqual(own, `127.0.0.1:${keeper.ports[0]}`);
  assert.equal(await whoServes(Number(own.split(':')[1])), 's1');
});

test('a socket that no frontend takes is closed, and the log names it', async (t) => {
  const [server] = await serve(t, ['s1']);
  const keeper = await Keeper.with(t, 3, settings([server!]), { LISTEN_FDNAMES: 'unit:f:other' });
  await keeper.start();
  assert.equal(await whoServes(keeper.ports[1]!), 's1');
  assert.deepEqual(
    keeper.lines.filter(({ level }) => level === 'warn').map(({ msg, name, fd }) => [msg, name, fd]),
    [
      ['no frontend is left for an inherited socket; closed: whoever connects to it waits', 'unit', 3],
      ['no frontend is left for an inherited socket; closed: whoever connects to it waits', 'other', 5],
    ],
  );
  assert.deepEqual(listeningInodes(keeper.pid).length, 3, 'its own: the frontend, metrics and admin');
});
