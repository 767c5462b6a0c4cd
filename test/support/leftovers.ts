/** What a running balancer holds: its series, its sockets, its descriptors, what its heap and its event loop keep. */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { Berth } from './berth.ts';
import { Client } from './clients.ts';
import { preload } from './preload.ts';
import { eventually } from './waiting.ts';

/** The samples of Berth's own that carry `name` as the value of a label. */
export async function seriesOf(berth: Berth, name: string): Promise<string[]> {
  const { text } = await berth.get('/metrics');
  return text.split('\n').filter((line) => line.startsWith('berth_') && line.includes(`="${name}"`));
}

/** Resolves when no sample of /metrics carries any of the names. */
export async function noSeriesOf(berth: Berth, ...names: readonly string[]): Promise<void> {
  let left: string[] = [];
  await eventually(
    () => `series to go:\n${left.join('\n')}`,
    async () => {
      left = (await Promise.all(names.map((name) => seriesOf(berth, name)))).flat();
      return left.length === 0;
    },
  );
}

/** An address of `host` that nobody listens on. No connection has a port there as long as nobody connects to `host`. */
export async function freeBind(host: string): Promise<string> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `${host}:${port}`;
}

/** A client that is connected to `address`, as soon as somebody listens there. */
export function arrive(t: TestContext, address: string): Promise<Client> {
  const [host = '', port] = address.split(':');
  return eventually(`somebody to listen on ${address}`, async () => {
    const client = new Client({ port: Number(port), host });
    t.after(() => client.socket.destroy());
    const connected = new Promise<boolean>((resolve) => client.socket.once('connect', () => resolve(true)));
    return (await Promise.race([connected, client.ended.then(() => false)])) && client;
  });
}

/** Where a process listens on IPv4, as the kernel says (proc(5): net/tcp, state 0A). */
export function listensOn(pid: number): string[] {
  const open = new Set(readdirSync(`/proc/${pid}/fd`).flatMap((fd) => linkOf(pid, fd)));
  return readFileSync(`/proc/${pid}/net/tcp`, 'latin1')
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && open.has(`socket:[${inode}]`))
    .map(([, local = '']) => readable(local))
    .toSorted();
}

/** A descriptor may be gone by the time that it is looked at. */
function linkOf(pid: number, fd: string): string[] {
  try {
    return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
  } catch {
    return [];
  }
}

/** `0100007F:1F90` is 127.0.0.1:8080. */
function readable(local: string): string {
  const [host = '', port = ''] = local.split(':');
  const bytes = host.match(/../g) ?? [];
  return `${bytes
    .toReversed()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.')}:${Number.parseInt(port, 16)}`;
}

/** Objects on the heap after a collection of garbage, and what keeps the event loop going, by kind. */
export type Insight = {
  readonly listeners: number;
  readonly sockets: number;
  readonly resources: Readonly<Record<string, number>>;
};

/** Tells on SIGWINCH, which Berth takes no notice of. It needs no descriptor but 2. */
const TELLS = `
  const { writeSync } = require('node:fs');
  const { Server, Socket } = require('node:net');
  const v8 = require('node:v8');
  const count = (kind) => v8.queryObjects(kind, { format: 'count' });
  process.on('SIGWINCH', () => {
    const resources = {};
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    const insight = { listeners: count(Server), sockets: count(Socket), resources };
    writeSync(2, 'insight ' + JSON.stringify(insight) + '\\n');
  });`;

/** The environment of a balancer that `insightOf` can look into. */
export const WITH_INSIGHT = preload(TELLS);

export async function insightOf(berth: Berth): Promise<Insight> {
  const told = (): string[] =>
    berth.stderr
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('insight '));
  const before = told().length;
  berth.signal('SIGWINCH');
  const line = await eventually('the program to tell of itself', () => told()[before]);
  return JSON.parse(line.slice('insight '.length)) as Insight;
}
