/** Relays between real sockets: a client in front, a server behind, and the relay's own two ends to look at. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { RelayBuffers, type BufferSizes } from '../../src/proxy/buffers.ts';
import { dial } from '../../src/proxy/dial.ts';
import { Relay, type End, type Joining } from '../../src/proxy/relay.ts';
import type { Sockets } from '../../src/proxy/sockets.ts';
import { Peer, type Pattern } from './peer.ts';

const PATIENCE_MS = 20_000;

/** How many descriptors this process has open. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Looks again every few milliseconds, for what no event tells. */
export async function eventually(look: () => boolean, what: () => string): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !look(); await wait(5)) {
    assert.ok(Date.now() < deadline, `waited in vain: ${what()}`);
  }
}

/** Knows how many large buffers are lent. */
export class CountedBuffers extends RelayBuffers {
  lent = 0;

  override lend(): Buffer | undefined {
    const buffer = super.lend();
    if (buffer) this.lent++;
    return buffer;
  }

  override giveBack(buffer: Buffer): void {
    this.lent--;
    super.giveBack(buffer);
  }
}

/** A connection that has been accepted. After `join`, one that is relayed. */
export class Flow {
  readonly client: Peer;
  readonly relay: Relay;
  /** The relay's own ends. */
  readonly inner: { client: Socket; server: Socket | undefined };
  readonly #reach: () => Promise<Peer>;
  #server: Peer | undefined;
  #ended: Promise<End> | undefined;

  constructor(client: Peer, relay: Relay, inner: Flow['inner'], reach: () => Promise<Peer>) {
    this.client = client;
    this.relay = relay;
    this.inner = inner;
    this.#reach = reach;
  }

  get server(): Peer {
    assert.ok(this.#server);
    return this.#server;
  }

  get ended(): Promise<End> {
    assert.ok(this.#ended);
    return this.#ended;
  }

  async join(joining: Joining = {}): Promise<this> {
    // As the proxy does: joined in the tick in which it has connected.
    const { relay, inner } = this;
    const accepted = this.#reach();
    const socket = inner.server;
    assert.ok(socket);
    const dialled = await dial(socket, PATIENCE_MS).outcome;
    assert.equal(dialled.kind, 'connected');
    this.#ended = relay.join(socket, joining);
    this.#server = await accepted;
    return this;
  }

  /** Sends little by little until the first bytes wait in the relay for a receiver that does not read. It has read all then. */
  async fill(sender: 'client' | 'server', pattern: Pattern, pieces = 8 << 10): Promise<void> {
    const taken = (): boolean => this.inner[sender === 'client' ? 'server' : 'client']?.writableLength === 0;
    const read = (): number => (sender === 'client' ? this.relay.bytesIn : this.relay.bytesOut);
    while (taken()) {
      await this[sender].send(pattern, pieces);
      while (read() < this[sender].sent) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Asserts how it ended, and that the relay has let go of everything. */
  async endsAs(end: End): Promise<void> {
    assert.equal(await this.ended, end);
    assert.ok(this.inner.client.closed && this.inner.server?.closed, 'both of its sockets are closed');
  }
}

/** Something to wait for by key, whichever side comes first. */
class Meeting<T> {
  readonly #met = new Map<number, { promise: Promise<T>; resolve: (value: T) => void }>();

  at(key: number): { promise: Promise<T>; resolve: (value: T) => void } {
    let one = this.#met.get(key);
    if (!one) {
      let resolve!: (value: T) => void;
      one = { promise: new Promise<T>((r) => (resolve = r)), resolve };
      this.#met.set(key, one);
    }
    return one;
  }
}

type Accepted = { readonly relay: Relay; readonly inner: Flow['inner'] };

export class RelayStand implements AsyncDisposable {
  readonly buffers: CountedBuffers;
  readonly #sockets: Sockets;
  readonly #front: Server;
  readonly #back: Server;
  readonly #accepted = new Meeting<Accepted>();
  readonly #served = new Meeting<Peer>();
  readonly #opened: Socket[] = [];
  readonly #before = descriptors();

  private constructor(sockets: Sockets, sizes?: BufferSizes) {
    this.#sockets = sockets;
    this.buffers = new CountedBuffers(sizes);
    this.#front = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      const port = socket.remotePort ?? 0;
      const inner: Flow['inner'] = { client: socket, server: undefined };
      const relay = new Relay(socket, this.#watching(inner), this.buffers);
      this.#opened.push(inner.client);
      this.#accepted.at(port).resolve({ relay, inner });
    });
    this.#back = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#opened.push(socket);
      this.#served.at(socket.remotePort ?? 0).resolve(new Peer(socket));
    });
  }

  static async open(sockets: Sockets, sizes?: BufferSizes): Promise<RelayStand> {
    const stand = new RelayStand(sockets, sizes);
    for (const server of [stand.#front, stand.#back]) {
      await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    }
    return stand;
  }

  /** A client that has been accepted, with no server yet. */
  async arrive(): Promise<Flow> {
    const socket = connect({ port: portOf(this.#front), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#opened.push(socket);
    const client = new Peer(socket);
    await new Promise((resolve) => socket.once('connect', resolve));
    const { relay, inner } = await this.#accepted.at(socket.localPort ?? 0).promise;
    return new Flow(client, relay, inner, () => this.#reach(relay, inner));
  }

  async flow(): Promise<Flow> {
    return (await this.arrive()).join();
  }

  /** Closes everything, and asserts that nothing is left behind: no descriptor, no lent buffer. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#opened) socket.destroy();
    this.#front.close();
    this.#back.close();
    await eventually(
      () => descriptors() <= this.#before && this.buffers.lent === 0,
      () => `${descriptors()} descriptors, ${this.#before} before; ${this.buffers.lent} buffers lent`,
    );
  }

  #reach(relay: Relay, inner: Flow['inner']): Promise<Peer> {
    const socket = relay.connect({ host: '127.0.0.1', port: portOf(this.#back) });
    inner.server = socket;
    this.#opened.push(socket);
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(this.#served.at(socket.localPort ?? 0).promise));
    });
  }

  /** The sockets under test, and a look at what they make. */
  #watching(inner: Flow['inner']): Sockets {
    return {
      name: this.#sockets.name,
      adopt: (accepted, reader) => (inner.client = this.#sockets.adopt(accepted, reader)),
      connect: (endpoint, reader) => this.#sockets.connect(endpoint, reader),
      writer: (socket) => this.#sockets.writer(socket),
    };
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
