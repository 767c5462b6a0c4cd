/** Signals by habit of HAProxy's and nginx's operators, and signals that come before Berth is quite there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { BERTH, Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { status } from '../support/operator.ts';
import { preload } from '../support/preload.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';
import { within } from '../support/waiting.ts';

/** A running balancer, and a client that has been answered. */
async function withClient(t: TestContext): Promise<{ berth: Berth; client: Client }> {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const client = new Client({ port: await berth.port() });
  t.after(() => client.socket.destroy());
  await client.line();
  return { berth, client };
}

/** Everything that is said to `client` comes back from the server. */
async function goesOn(client: Client): Promise<void> {
  client.socket.write('hello');
  assert.equal((await client.bytes('s1\nhello'.length)).toString(), 's1\nhello');
}

/** Runs `script` before Berth's first line. */
const before = (script: string): { NODE_OPTIONS: string } => preload(script, '--inspect-port=0');

/** Sends the program each of `signals` as soon as the program listens to the first of them. */
const early = (...signals: readonly NodeJS.Signals[]): { NODE_OPTIONS: string } =>
  before(`
    process.on('newListener', (name) => {
      if (name !== '${signals[0]}') return;
      setImmediate(() => { for (const one of ${JSON.stringify(signals)}) process.kill(process.pid, one); });
    });`);

test('SIGUSR2 reloads the file, and connections go on', async (t) => {
  const { berth, client } = await withClient(t);
  const frontends = { other: { bind: '127.0.0.1:0', backend: 'b' } };
  writeFileSync(berth.file, yaml({ ...settings(await serve(t, ['s1'])), frontends }));
  berth.signal('SIGUSR2');
  await berth.line(({ msg }) => msg === 'reloaded');
  assert.ok((await status(berth)).frontends.some(({ name }) => name === 'other'));
  await goesOn(client);
});

test("SIGUSR1 says that it does nothing, and opens Node's debugger to nobody", async (t) => {
  const { berth, client } = await withClient(t);
  berth.signal('SIGUSR1');
  const { level } = await berth.line(({ msg }) => msg.startsWith('SIGUSR1 does nothing; SIGHUP and SIGUSR2 reload'));
  assert.equal(level, 'warn');
  await goesOn(client);
  assert.equal(berth.stderr, '');
});

test("Node's debugger, opened by a SIGUSR1 that came before Berth's first line, is closed again", async (t) => {
  const waits = `
    const inspector = require('node:inspector');
    process.kill(process.pid, 'SIGUSR1');
    while (inspector.url() === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);`;
  const berth = await start(t, settings(await serve(t, ['s1'])), { env: before(waits) });
  const url = /ws:\/\/(\S+):(\d+)\//.exec(berth.stderr);
  assert.ok(url, berth.stderr);
  const [, host = '', port] = url;
  assert.equal(await within(new Client({ host, port: Number(port) }).ended, 'the debugger to refuse'), 'refused');
  await berth.line(({ msg }) => msg.includes("opened Node's debugger; it is closed again"));
});

test('a debugger that the operator has asked for stays open', async (t) => {
  const env = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };
  const berth = await start(t, settings(await serve(t, ['s1'])), { env });
  const port = Number(/ws:\/\/127\.0\.0\.1:(\d+)\//.exec(berth.stderr)?.[1]);
  const client = new Client({ port });
  await once(client.socket, 'connect');
  client.socket.destroy();
});

for (const signals of [['SIGTERM'], ['SIGINT'], ['SIGQUIT'], ['SIGHUP', 'SIGTERM'], ['SIGTERM', 'SIGTERM']] as const) {
  test(`with the first line of Berth, ${signals.join(' and ')} ends it with 0`, async (t) => {
    const berth = new Berth(settings(await serve(t, ['s1'])), { env: early(...signals) });
    t.after(() => berth.stop());
    assert.equal(await berth.exitCode(), 0);
    assert.equal(berth.lines.at(-1)?.msg, 'stopped');
  });
}

test('a signal ends other commands as the system has it, also where it comes with the first line', async () => {
  const [program, ...args] = BERTH;
  const child = spawn(program, [...args, 'schema'], {
    env: { ...process.env, ...early('SIGINT') },
    stdio: 'ignore',
  });
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
});

/** Sends the program SIGTERM while pino, which asks for the name of the host, is being loaded. */
const WHILE_LOADING = before(`
  const os = require('node:os');
  const { hostname } = os;
  os.hostname = () => {
    process.kill(process.pid, 'SIGTERM');
    return hostname();
  };`);

test('SIGTERM that comes while Berth is being loaded ends it with 0', async (t) => {
  const berth = new Berth(settings(await serve(t, ['s1'])), { env: WHILE_LOADING });
  t.after(() => berth.stop());
  assert.equal(await berth.exitCode(), 0);
  assert.equal(berth.lines.at(-1)?.msg, 'stopped');
});

test(
  'the first process of a container, which the kernel spares without a handler, obeys it too',
  { skip: noNamespaces('pid') },
  async (t) => {
    const through = ['unshare', '--pid', '--fork', '--kill-child'];
    const berth = new Berth(settings(await serve(t, ['s1'])), { through, env: WHILE_LOADING });
    t.after(() => berth.stop());
    assert.equal(await berth.exitCode(), 0);
    assert.equal(berth.lines.at(-1)?.msg, 'stopped');
  },
);
