/** Registry nodes as far as layer 4 is concerned: TCP servers that say their name, echo, hang, reset or count. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { eventually } from './clients.ts';

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
 * A server on a loopback address of its own. No outgoing connection ever takes a port there, so that it can be closed, refuse
 * while it is, and open again on its port.
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

  /** Refuses from now on; open connections are reset. */
  async close(): Promise<void> {
    const listener = this.#listener;
    if (!listener) return;
    this.#listener = undefined;
    const closed = once(listener, 'close');
    listener.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
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

const LISTEN_AND_STOP = `
  const server = require('node:net').createServer();
  server.listen({ host: process.argv[1], port: 0, backlog: 1 }, () => {
    console.log(server.address().port);
    setTimeout(() => process.kill(process.pid, 'SIGSTOP'), 0);
  });`;

/** The address of a server that answers no SYN: its process is stopped and its backlog is full. */
export async function blackhole(t: TestContext): Promise<string> {
  const host = ownAddress();
  const child = spawn(process.execPath, ['-e', LISTEN_AND_STOP, host], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [printed] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(printed.toString());
  await eventually('it to be stopped', () => / T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')) || undefined);
  for (let unanswered = false; !unanswered;) {
    const filler = connect(port, host).on('error', () => {});
    t.after(() => filler.destroy());
    // Loopback answers a SYN within microseconds.
    unanswered = await Promise.race([
      once(filler, 'connect').then(() => false),
      new Promise<boolean>((resolve) => setTimeout(resolve, 1_000, true)),
    ]);
  }
  return `${host}:${port}`;
}

let addresses = 0;

/** A loopback address that no other process of the tests uses. */
function ownAddress(): string {
  addresses++;
  return `127.${128 + ((process.pid >> 8) & 63)}.${process.pid & 255}.${1 + (addresses % 250)}`;
}
