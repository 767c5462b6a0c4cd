/** One end of a connection in a test's hands: it sends what can be checked, and checks what it gets. */
import { createCipheriv } from 'node:crypto';
import type { Socket } from 'node:net';
import * as fc from 'fast-check';
import { reset } from '../../src/proxy/relay/sockets.ts';
import { Changes } from './waiting.ts';

/** A prime, so that no read or write size falls into step with it. */
const PERIOD = 262_147;
const SEND_BYTES = 256 << 10;

/** Bytes that never end, of which any stretch tells where it belongs. */
export class Pattern {
  readonly #bytes: Buffer;

  constructor(seed: number) {
    const key = Buffer.alloc(16);
    key.writeInt32LE(seed);
    this.#bytes = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(PERIOD));
  }

  /** At most `length` bytes from `offset` on. */
  at(offset: number, length: number): Buffer {
    const from = offset % PERIOD;
    return this.#bytes.subarray(from, Math.min(from + length, PERIOD));
  }

  matches(offset: number, bytes: Buffer): boolean {
    for (let done = 0; done < bytes.length;) {
      const expected = this.at(offset + done, bytes.length - done);
      if (!expected.equals(bytes.subarray(done, done + expected.length))) return false;
      done += expected.length;
    }
    return true;
  }
}

export class Peer {
  readonly socket: Socket;
  /** Bytes that came. */
  received = 0;
  /** Bytes that the kernel took. */
  sent = 0;
  /** The other side has said that nothing more will come. */
  ended = false;
  closed = false;
  /** What it was lost by, such as ECONNRESET. */
  error: string | undefined;
  /** Where what came is first not what `expects` says. */
  corruptAt: number | undefined;
  /** What comes is compared with this. */
  expects: Pattern | undefined;
  /** Lets a turn of the loop pass after each chunk. */
  pausesOften = false;
  readonly #changes = new Changes();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', ({ code, message }: NodeJS.ErrnoException) => (this.error = code ?? message));
    let finished = false;
    const settle = (): void => {
      this.ended = finished && this.error === undefined;
      this.closed = socket.closed;
      this.#changes.tell();
    };
    socket.on('end', () => {
      finished = true;
      // libuv before 1.52 takes a reset behind unread bytes for an end; writing nothing fails then.
      if (!socket.writableEnded && socket.writableLength === 0) socket.write('');
      setImmediate(settle);
    });
    socket.on('close', settle);
    socket.on('drain', () => this.#changes.tell());
  }

  /** Takes what comes, until `pause`. */
  read(): this {
    if (this.socket.listenerCount('data') === 0) this.socket.on('data', (chunk: Buffer) => this.#got(chunk));
    this.socket.resume();
    return this;
  }

  pause(): void {
    this.socket.pause();
  }

  /**
   * Sends the stretch of `pattern` that follows what was sent. Resolves when the kernel has it, or the socket is
   * closed.
   */
  async send(pattern: Pattern, bytes: number, sizes: () => number = () => SEND_BYTES): Promise<void> {
    for (let left = bytes; left > 0 && !this.socket.destroyed;) {
      const chunk = pattern.at(this.sent, Math.min(left, sizes()));
      await new Promise((resolve) => this.socket.write(chunk, resolve));
      if (!this.socket.destroyed) this.sent += chunk.length;
      left -= chunk.length;
    }
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    reset(this.socket);
  }

  async gets(bytes: number): Promise<void> {
    this.read();
    await this.until(() => this.received >= bytes, `${bytes} bytes`);
  }

  async getsEnd(): Promise<void> {
    this.read();
    await this.until(() => this.ended, 'the end');
  }

  /** What it was lost by; undefined where it closed in peace. */
  async isClosed(): Promise<string | undefined> {
    this.read();
    await this.until(() => this.closed, 'the close');
    return this.error;
  }

  /** Looks again with everything that happens to the socket. */
  async until(look: () => boolean, what: string): Promise<void> {
    const now = (): string => {
      const { received, ended, closed, error } = this;
      return JSON.stringify({ received, ended, closed, error });
    };
    await this.#changes.until(
      () => `${what}: ${now()}`,
      look,
      () => this.closed,
    );
  }

  #got(chunk: Buffer): void {
    if (this.expects && !this.expects.matches(this.received, chunk)) this.corruptAt ??= this.received;
    this.received += chunk.length;
    if (this.pausesOften) {
      this.pause();
      setImmediate(() => {
        if (this.pausesOften) this.read();
      });
    }
    this.#changes.tell();
  }
}

/** What either side of a flow may do; `most` is the largest number of bytes that a side sends at once. */
export const sideActs = (most: number) => {
  const side = fc.constantFrom('client' as const, 'server' as const);
  const what = fc.constantFrom('read' as const, 'pause' as const, 'end' as const, 'reset' as const);
  const bytes = fc.constantFrom(1, 5_000, 64 << 10, most);
  return [fc.record({ side, what }), fc.record({ side, what: fc.constant('send' as const), bytes })] as const;
};
