/** Relays between real sockets: a client in front, a server behind, and the relay's own two ends to look at. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { RelayBuffers, type BufferSizes } from '../../src/proxy/relay/buffers.ts';
import { Client } from '../../src/proxy/client.ts';
import { dial } from '../../src/proxy/dial.ts';
import { Relay, type RelayEnd } from '../../src/proxy/relay/relay.ts';
import type { Sockets, Wire } from '../../src/proxy/relay/sockets.ts';
import { openFilesOf } from './files.ts';
import { Peer, type Pattern } from './peer.ts';
import { eventually, PATIENCE_MS } from './waiting.ts';

/** Knows how many large buffers are lent, and how many of those are stuck. */
export class CountedBuffers extends RelayBuffers {
  lent = 0;
  stuckOnes = 0;

  override lend(): Buffer | undefined {
    const buffer = super.lend();
    if (buffer) this.lent++;
    return buffer;
  }

  override stuck(by: 1 | -1): void {
    this.stuckOnes += by;
    super.stuck(by);
  }

  override giveBack(buffer: Buffer): void {
    this.lent--;
    super.giveBack(buffer);
  }
}

type Stand = Pick<RelayStand, 'buffers' | 'sockets' | 'reach'>;

/** A connection that has been accepted. After `join`, one that is relayed. */
export class Flow {
  readonly client: Peer;
  /** The client as the proxy has it until its server is there. */
  readonly waiting: Client;
  /** The proxy's own ends. */
  readonly inner: { client: Socket; server: Socket | undefined };
  readonly #stand: Stand;
  #server: Peer | undefined;
  #relay: Relay | undefined;

  constructor(client: Peer, waiting: Client, stand: Stand) {
    this.client = client;
    this.waiting = waiting;
    this.inner = { client: waiting.wire.socket, server: undefined };
    this.#stand = stand;
  }

  get server(): Peer {
    assert.ok(this.#server);
    return this.#server;
  }

  get relay(): Relay {
    assert.ok(this.#relay);
    return this.#relay;
  }

  /** How it ended, as a record has it; 'closed' where the relay was closed from outside. */
  get ended(): Promise<string> {
    return this.relay.ended.then((end) => {
      if (end.kind !== 'finished') assert.equal(this.relay.end, end, 'how it ends was known before');
      return written(end);
    });
  }

  /** The server is there; not so where the client was gone first. */
  get isJoined(): boolean {
    return this.#relay !== undefined;
  }

  /**
   * As the proxy does: joined in the tick in which the server's socket has connected, if the client is still there.
   * With `meanwhile` the client's bytes flow only when that is over, as where the first ones have to be looked at.
   */
  async join(header?: Buffer, meanwhile?: () => Promise<void>): Promise<this> {
    const { buffers, sockets } = this.#stand;
    const { wire, accepted } = this.#stand.reach();
    this.inner.server = wire.socket;
    const dialled = await dial(wire.socket, PATIENCE_MS, this.waiting.gone);
    if (dialled.kind === 'abandoned') return this;
    assert.equal(dialled.kind, 'connected');
    this.#relay = new Relay(this.waiting.wire, wire, sockets, buffers);
    if (!meanwhile) this.#forward(header);
    this.#server = await accepted;
    await meanwhile?.();
    if (meanwhile) this.#forward(header);
    return this;
  }

  #forward(header?: Buffer): void {
    this.relay.forward({ header, first: this.waiting.take(), finished: this.waiting.hasFinished });
  }

  /**
   * Sends little by little until the first bytes wait in the relay for a receiver that does not read. It has read all
   * then.
   */
  async fill(sender: 'client' | 'server', pattern: Pattern, pieces = 8 << 10): Promise<void> {
    const taken = (): boolean => this.inner[sender === 'client' ? 'server' : 'client']?.writableLength === 0;
    const read = (): number => (sender === 'client' ? this.relay.bytesIn : this.relay.bytesOut);
    while (taken()) {
      await this[sender].send(pattern, pieces);
      while (read() < this[sender].sent) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Asserts how it ended, and that the relay has let go of everything. */
  async endsAs(end: string): Promise<void> {
    assert.equal(await this.ended, end);
    assert.ok(this.inner.client.closed && this.inner.server?.closed, 'both of its sockets are closed');
  }
}

const SIDES = { broken: { client: 'C', server: 'S' }, idle: { client: 'c', server: 's' } };

function written(end: RelayEnd): string {
  if (end.kind === 'finished') return '--';
  return end.kind === 'closed' ? end.kind : `${SIDES[end.kind][end.side]}${end.lastBytes ? 'L' : 'D'}`;
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

export class RelayStand implements AsyncDisposable {
  readonly buffers: CountedBuffers;
  readonly sockets: Sockets;
  readonly #front: Server;
  readonly #back: Server;
  readonly #accepted = new Meeting<Client>();
  readonly #served = new Meeting<Peer>();
  readonly #opened: Socket[] = [];
  readonly #before = openFilesOf(process.pid);

  private constructor(sockets: Sockets, sizes?: BufferSizes) {
    this.sockets = sockets;
    this.buffers = new CountedBuffers(sizes);
    this.#front = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      const port = socket.remotePort ?? 0;
      const client = new Client(socket, this.sockets, this.buffers);
      this.#opened.push(client.wire.socket);
      this.#accepted.at(port).resolve(client);
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
    return new Flow(client, await this.#accepted.at(socket.localPort ?? 0).promise, this);
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
      () =>
        `${this.#before} descriptors, not ${openFilesOf(process.pid)}, and no buffers lent, not ${this.buffers.lent}`,
      () => openFilesOf(process.pid) <= this.#before && this.buffers.lent === 0,
    );
  }

  /** A socket on its way to the server, and the server's own end of it. */
  reach(): { wire: Wire; accepted: Promise<Peer> } {
    const wire = this.sockets.connect({ host: '127.0.0.1', port: portOf(this.#back) }, this.buffers.unread);
    const { socket } = wire;
    this.#opened.push(socket);
    const accepted = new Promise<Peer>((resolve) => {
      socket.once('connect', () => resolve(this.#served.at(socket.localPort ?? 0).promise));
    });
    return { wire, accepted };
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
