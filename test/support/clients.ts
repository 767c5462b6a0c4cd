/** Clients as a load balancer sees them: each from the source address that the test wants. */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Berth, LogLine } from './berth.ts';
import { Changes, within } from './waiting.ts';

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
  readonly #changes = new Changes();

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
      this.#changes.tell();
    });
    this.socket.on('close', () => this.#changes.tell());
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
    await this.#changes.until(
      () => `${what}; ${this.#bytes} bytes have come`,
      done,
      () => this.socket.closed,
    );
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
