import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { connectNamespaces, openNamespace, type Namespace } from '../support/namespace.ts';
import { openWorkspace, type Workspace } from '../support/processes.ts';
import type { Program } from '../support/program.ts';
import { settings } from '../support/settings.ts';

const NEAR = '10.77.0.1';
const FAR = '10.77.0.2';
const PORT = 5000;

/** Says hello to whoever comes; asked to, it sends on and on. */
const SERVER = `
  require('node:net').createServer((socket) => {
    socket.on('error', () => {}).write('hello\\n');
    if (process.argv[2] === 'sends') setInterval(() => socket.write('more\\n'), 200);
  }).listen(${PORT}, process.argv[1], () => console.log('listening'));`;

/** Prints what it hears, and stays. */
const CLIENT = `
  require('node:net').connect(process.argv[2], process.argv[1]).on('error', () => {}).pipe(process.stdout);`;

type Peers = {
  readonly workspace: Workspace;
  readonly near: Namespace;
  readonly far: Namespace;
  readonly run: (where: Namespace, script: string, ...args: string[]) => Program;
};

/** Two networks with a cable between them. */
async function peers(t: TestContext): Promise<Peers> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const near = await openNamespace(workspace, { address: '10.78.0.1' });
  const far = await openNamespace(workspace, { address: '10.78.0.2' });
  await connectNamespaces(workspace, [near, NEAR], [far, FAR]);
  let count = 0;
  const run = (where: Namespace, script: string, ...args: string[]): Program => {
    const [command, ...rest] = where.through('net');
    const node = [process.execPath, '-e', script, ...args];
    return workspace.start({ name: `peer${++count}`, expendable: true, command, args: [...rest, ...node] });
  };
  return { workspace, near, far, run };
}

/** Nothing arrives from there any more, and nobody is told. */
async function cut({ workspace, far }: Peers): Promise<void> {
  const [command, ...args] = far.through('net');
  await workspace.run(command, [...args, 'ip', 'link', 'set', 'far', 'down']);
}

const SILENT = { healthCheck: false };

for (const { who, keepAlive, sends, end } of [
  { who: 'client', keepAlive: '1s', sends: '', end: 'CD' },
  { who: 'server', keepAlive: '1s', sends: '', end: 'SD' },
  { who: 'client', keepAlive: '0s', sends: 'sends', end: 'CD' },
] as const) {
  const how = sends ? 'amid data is let go when the system sends no more again' : 'is let go by keepalive';
  const title = `a ${who} that has vanished ${how}`;
  test(title, { skip: noNamespaces('mount', 'net'), timeout: 90_000 }, async (t) => {
    const all = await peers(t);
    const { near, far, run, workspace } = all;
    const [serverSide, host] = who === 'client' ? [near, '127.0.0.1'] : [far, FAR];
    const server = run(serverSide, SERVER, host, sends);
    await server.waitFor('listens', () => server.log().includes('listening'));
    const [command, ...args] = near.through('net');
    await workspace.run(command, [...args, 'sysctl', '-qw', 'net.ipv4.tcp_retries2=3']);
    const timeouts = { timeouts: { keepAlive } };
    const config = settings([`${host}:${PORT}`], SILENT, timeouts, { bind: `${NEAR}:0` });
    const berth = await start(t, config, { through: near.through('net') });
    const client = run(who === 'client' ? far : near, CLIENT, NEAR, String(await berth.port()));
    await client.waitFor('hears the server', () => client.log().includes(sends ? 'more' : 'hello'));
    await cut(all);
    const line = await berth.line(({ msg }) => msg === 'connection');
    assert.equal(line['end'], end);
  });
}
