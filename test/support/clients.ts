/** Clients as a load balancer sees them: each from the source address that the test wants. */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Berth, LogLine } from './berth.ts';

/** No test waits longer than this for something that should happen. */
const PATIENCE_MS = 30_000;

/** How a connection ended, as the client saw it: a FIN, a reset, or it was refused. */
export type Ended = 'end' | 'reset' | 'refused';

export type Where =
  { readonly port: number; readonly host?: string; readonly from?: string } | { readonly path: string };

export class Client {
  readonly socket: Socket;
  /** Resolves as soon as the other side has finished or reset, or the connect was refused. */
  readonly ended: Promise<Ended>;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #changed: (() => void) | undefined;

  constructor(where: Where) {
    this.socket = connect({ allowHalfOpen: true, ...options(where) });
    this.ended = new Promise((resolve, reject) => {
      this.socket.on('end', () => resolve('end'));
      this.socket.on('close', () => resolve('end'));
      this.socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') resolve('refused');
        else if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve('reset');
        else reject(error);
      });
    });
    this.ended.catch(() => {});
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#changed?.();
    });
    this.socket.on('close', () => this.#changed?.());
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves when so many bytes have come; rejects where the connection ends before. */
  async bytes(count: number): Promise<Buffer> {
    await this.#until(() => this.#bytes >= count, `${count} bytes`);
    return this.received;
  }

  /** The first line: the name of a server that says it. */
  async line(): Promise<string> {
    await this.#until(() => this.#chunks.some((chunk) => chunk.includes('\n')), 'a line');
    return this.received.toString('latin1').split('\n', 1)[0] ?? '';
  }

  /** Says that nothing more will come, and resolves when the other side has finished too. */
  async finish(): Promise<Ended> {
    this.socket.end();
    return within(this.ended, 'the other side to finish');
  }

  async #until(done: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!done()) {
      if (this.socket.closed || Date.now() > deadline) throw new Error(`no ${what}; got ${this.#bytes} bytes`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

function options(where: Where): TcpNetConnectOpts | { path: string } {
  if ('path' in where) return where;
  const { port, host = '127.0.0.1', from } = where;
  return { port, host, ...(from === undefined ? {} : { localAddress: from }) };
}

/** A whole visit: connects, hears who serves, leaves. Resolves to the connection's line in the log. */
export async function visit(berth: Berth, where: Where): Promise<LogLine & { answered: string }> {
  const client = new Client(where);
  const answered = await client.line();
  const { localPort } = client.socket;
  const seen = berth.lines.length;
  await client.finish();
  client.socket.destroy();
  const ours = 'path' in where ? 'unix' : `:${localPort}`;
  const line = await berth.line(({ msg, client: of }) => msg === 'connection' && String(of).endsWith(ours), seen);
  return { ...line, answered };
}

/** `promise`, or a failure that says what was waited for. */
export async function within<T>(promise: Promise<T>, what: string, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks every few milliseconds until there is something to see: for what nobody announces. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
