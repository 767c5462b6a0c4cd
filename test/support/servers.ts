/** Registry nodes as far as layer 4 is concerned: TCP servers that say their name, echo, hang, reset or count. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export type ServerOptions = { readonly allowHalfOpen?: boolean };
/** What a server does with a connection. */
export type Manner = (socket: Socket, server: TestServer) => void;

/** Says its name in a first line, then gives back what it gets. */
export const echoes: Manner = (socket, { name }) => {
  socket.write(`${name}\n`);
  socket.pipe(socket);
};
/** Gives back what it gets, and nothing else. */
export const mirrors: Manner = (socket) => void socket.pipe(socket);
/** Takes everything and never says a word. */
export const hangs: Manner = (socket) => void socket.resume();
/** Resets as soon as it has been sent something. */
export const resets: Manner = (socket) => void socket.once('data', () => socket.resetAndDestroy());

/**
 * A server on a loopback address of its own. No outgoing connection ever takes a port there, so that it can be closed,
 * refuse while it is, and open again on its port.
 */
export class TestServer {
  readonly name: string;
  readonly host: string;
  port = 0;
  /** Connections since it was made. */
  accepted = 0;
  /** Open connections. */
  readonly sockets = new Set<Socket>();
  readonly #manner: Manner;
  readonly #options: ServerOptions;
  #listener: Server | undefined;

  constructor(name: string, manner: Manner, options: ServerOptions = {}) {
    this.name = name;
    this.host = ownAddress();
    this.#manner = manner;
    this.#options = options;
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** Listens, on the port it had before if it had one. */
  async open(): Promise<void> {
    this.#listener = createServer({ noDelay: true, ...this.#options }, (socket) => {
      this.accepted++;
      this.sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
      this.#manner(socket, this);
    });
    this.#listener.listen({ port: this.port, host: this.host, backlog: 4096 });
    await once(this.#listener, 'listening');
    this.port = (this.#listener.address() as AddressInfo).port;
  }

  /** Refuses from now on; open connections go on. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** Refuses from now on; open connections are reset. */
  async close(): Promise<void> {
    this.refuse();
    const closed = [...this.sockets].map((socket) => once(socket, 'close'));
    for (const socket of this.sockets) socket.resetAndDestroy();
    await Promise.all(closed);
  }
}

/** One server for each name, ended with the test. */
export async function serve(
  t: TestContext,
  names: readonly string[],
  manner: Manner = echoes,
  options?: ServerOptions,
): Promise<TestServer[]> {
  const servers = names.map((name) => new TestServer(name, manner, options));
  for (const server of servers) {
    await server.open();
    t.after(() => server.close());
  }
  return servers;
}

/** The address of a server that refuses. */
export async function refusing(): Promise<string> {
  const server = new TestServer('nobody', hangs);
  await server.open();
  await server.close();
  return server.address;
}

const BACKLOG = 1;
const LISTEN_AND_STOP = `
  const server = require('node:net').createServer((socket) => {
    socket.on('error', () => {}).write('frozen\\n');
    socket.pipe(socket);
  });
  server.listen({ host: process.argv[1], port: 0, backlog: ${BACKLOG} }, () => {
    console.log(server.address().port);
    setTimeout(() => process.kill(process.pid, 'SIGSTOP'), 0);
  });`;

/** The address of a server that answers no SYN. */
export async function blackhole(t: TestContext): Promise<string> {
  return (await frozen(t)).address;
}

/** `thaw` makes it answer, as a server that echoes; after `end` it refuses. */
export type Frozen = { readonly address: string; readonly thaw: () => void; readonly end: () => void };

/** A server that answers no SYN: its process is stopped and its backlog is full. */
export async function frozen(t: TestContext): Promise<Frozen> {
  const host = ownAddress();
  const child = spawn(process.execPath, ['-e', LISTEN_AND_STOP, host], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [printed] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(printed.toString());
  // It prints before it stops, and what it still accepted would leave room in its backlog.
  while (!/^\d+ \(.*\) T /.test(await readFile(`/proc/${child.pid}/stat`, 'utf8'))) await nextTurn();
  // Linux takes one connection more than the backlog, then drops SYNs.
  for (let i = 0; i <= BACKLOG; i++) {
    const filler = connect(port, host).on('error', () => {});
    t.after(() => filler.destroy());
    await once(filler, 'connect');
  }
  // A filler is connected a moment before it stands in the backlog; until then there is room for one more.
  while ((await backlogOf(host, port)) <= BACKLOG) await nextTurn();
  return {
    address: `${host}:${port}`,
    thaw: () => void child.kill('SIGCONT'),
    end: () => void child.kill('SIGKILL'),
  };
}

/**
 * Connections that wait to be accepted, as the kernel counts them (proc(5): the receive queue of a socket that
 * listens).
 */
async function backlogOf(host: string, port: number): Promise<number> {
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
  const local = host
    .split('.')
    .map((byte) => hex(Number(byte), 2))
    .toReversed()
    .join('');
  const listening = new RegExp(`: ${local}:${hex(port, 4)} 0{8}:0{4} 0A [0-9A-F]{8}:([0-9A-F]{8})`);
  return Number.parseInt(listening.exec(await readFile('/proc/net/tcp', 'latin1'))?.[1] ?? '0', 16);
}

let addresses = 0;

/** A loopback address that no other process of the tests uses. */
function ownAddress(): string {
  addresses++;
  return `127.${128 + ((process.pid >> 8) & 63)}.${process.pid & 255}.${1 + (addresses % 250)}`;
}
