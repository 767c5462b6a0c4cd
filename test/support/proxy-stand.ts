/** A frontend between clients and servers that a test has in its hands: real sockets, a real backend, no program. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect, createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { schema, type Config } from '../../src/config/schema.ts';
import { Backend } from '../../src/pool/backend.ts';
import type { PoolParts } from '../../src/pool/members.ts';
import type { Server } from '../../src/pool/server.ts';
import { Frontend, type Occupancy } from '../../src/proxy/frontend.ts';
import type { ProxyObserver, Refusal } from '../../src/proxy/observer.ts';
import type { ConnectionRecord } from '../../src/proxy/record.ts';
import { onreadSockets, type Sockets } from '../../src/proxy/relay/sockets.ts';
import { termsOf } from '../../src/proxy/terms.ts';
import { openFilesOf } from './files.ts';
import { Peer } from './peer.ts';
import { CountedBuffers } from './relay-stand.ts';
import { TestServer } from './servers.ts';
import { Changes, eventually } from './waiting.ts';
import { SILENT } from './pool.ts';

export type Terms = { readonly frontend?: object; readonly backend?: object; readonly timeouts?: object };

type Options = Terms & {
  /** The servers that listen; what `backend` says of them, and of others, is there beside them. */
  readonly servers?: readonly string[];
  readonly sockets?: Sockets;
  readonly capacity?: number;
  readonly pool?: PoolParts;
};

/** A server that takes every connection and does nothing with it: the test does. */
class Node extends TestServer {
  readonly peers: Peer[] = [];

  constructor(name: string, arrived: () => void) {
    const take = (socket: Socket): void => {
      this.peers.push(new Peer(socket));
      arrived();
    };
    super(name, take, { allowHalfOpen: true });
  }
}

export class ProxyStand {
  readonly buffers = new CountedBuffers();
  readonly occupancy: Occupancy = { connections: 0, latest: 0 };
  readonly records: ConnectionRecord[] = [];
  readonly refusals: Refusal[] = [];
  /** What connections told to the accounts of their clients, by client. */
  readonly accounts = new Map<string, { joined: string[]; in: number; out: number; open: number }>();
  /** What happened on the way to servers, in order. */
  readonly told: string[] = [];
  readonly nodes: ReadonlyMap<string, Node>;
  readonly backend: Backend;
  readonly frontend: Frontend;
  /** Called with each connect that failed, before the pool hears of it. */
  onConnectFailed: () => void = () => {};
  readonly #options: Options;
  readonly #changes = new Changes();
  readonly #front: Listener;
  readonly #clients: Peer[] = [];
  readonly #before = { files: openFilesOf(process.pid), timers: timers() };
  /** Those that a test has been given. */
  readonly #known = new Set<Peer>();

  private constructor(options: Options) {
    this.#options = options;
    const { servers = ['s1'], sockets = onreadSockets, pool = {} } = options;
    this.nodes = new Map(servers.map((name) => [name, new Node(name, () => this.#changes.tell())]));
    this.backend = new Backend('b', SILENT, pool);
    const { occupancy, buffers } = this;
    this.frontend = new Frontend('f', { occupancy, sockets, buffers, observer: this.#observer() });
    this.#front = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.frontend.accept(socket, false),
    );
  }

  /** It is closed with the test, and asserts then that nothing is left of any connection. */
  static async open(t: TestContext, options: Options = {}): Promise<ProxyStand> {
    const stand = new ProxyStand(options);
    t.after(() => stand.#close());
    for (const node of stand.nodes.values()) await node.open();
    stand.serve();
    stand.#front.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(stand.#front, 'listening');
    return stand;
  }

  /** Puts other terms in force, for backend and frontend, as a reload does. */
  serve(terms: Terms = {}): void {
    const { config, capacity } = this.#configure(terms);
    this.backend.plan(config.backends['b']!).commit();
    this.frontend.serve(termsOf(config.frontends['f']!, config, capacity, new Map([['b', this.backend]])));
  }

  /** A client that has connected, and may have been turned away already. */
  async arrive(from = '127.0.0.1'): Promise<Peer> {
    const { port } = this.#front.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true, noDelay: true });
    const client = new Peer(socket);
    this.#clients.push(client);
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
    return client;
  }

  /** The server's end of the connection that reaches any server next. */
  async served(): Promise<Peer> {
    const fresh = (): Peer | undefined =>
      [...this.nodes.values()].flatMap(({ peers }) => peers).find((peer) => !this.#known.has(peer));
    await this.#until('a server is reached', () => fresh() !== undefined);
    const found = fresh();
    assert.ok(found);
    this.#known.add(found);
    return found;
  }

  /** A client and its server, joined. */
  async join(from?: string): Promise<{ client: Peer; server: Peer }> {
    const client = await this.arrive(from);
    return { client, server: await this.served() };
  }

  /** Resolves to the record of the `nth` connection that has ended, from 1 on. */
  async record(nth = 1): Promise<ConnectionRecord> {
    await this.#until(`record ${nth}`, () => this.records.length >= nth);
    return this.records[nth - 1]!;
  }

  async refusal(nth = 1): Promise<Refusal> {
    await this.#until(`refusal ${nth}`, () => this.refusals.length >= nth);
    return this.refusals[nth - 1]!;
  }

  /** Resolves when something stands in `told`. */
  async hears(what: string, times = 1): Promise<void> {
    await this.#until(what, () => this.told.filter((one) => one === what).length >= times);
    // An operator comes in a turn of his own, and not between two steps of a connection that follow in one turn.
    await nextTurn();
  }

  async accepts(count: number): Promise<void> {
    await eventually(
      () => `${count} connections that stand, not ${this.frontend.connections}`,
      () => this.frontend.connections === count,
    );
  }

  server(name = 's1'): Server {
    const found = this.backend.servers.find((server) => server.name === name);
    assert.ok(found);
    return found;
  }

  /** Resolves when no connection stands any more, and asserts that they have left nothing. */
  async isEmpty(): Promise<void> {
    for (const { socket } of this.#clients) socket.destroy();
    for (const { peers } of this.nodes.values()) for (const { socket } of peers) socket.destroy();
    await this.frontend.empty();
    assert.equal(this.occupancy.connections, 0, 'places of the process');
    for (const { name, slots } of this.backend.servers) {
      assert.deepEqual([slots.taken, slots.waiting], [0, 0], `places of ${name}, and who waits for it`);
    }
    assert.equal(this.backend.waiting, 0, 'who waits for any server');
    for (const { client } of this.backend.table?.bindings() ?? []) {
      assert.equal(this.backend.binding(client)?.connections ?? 0, 0, `connections of ${client} in the table`);
    }
    for (const [client, { open }] of this.accounts) assert.equal(open, 0, `connections in the account of ${client}`);
    assert.equal(this.buffers.lent, 0, 'large buffers');
  }

  #configure({ frontend = {}, backend = {}, timeouts = {} }: Terms): { config: Config; capacity: number } {
    const first = this.#options;
    const own: { servers?: Record<string, string | object> } = { ...first.backend, ...backend };
    const servers: Record<string, string | object> = { ...own.servers };
    for (const { name, address } of this.nodes.values()) {
      const more = servers[name];
      if (typeof more !== 'string') servers[name] = { address, ...more };
    }
    const config = schema.parse({
      frontends: { f: { bind: '127.0.0.1:1', backend: 'b', ...first.frontend, ...frontend } },
      backends: { b: { healthCheck: false, ...own, servers } },
      timeouts: { ...first.timeouts, ...timeouts },
    });
    return { config, capacity: first.capacity ?? 1_000 };
  }

  #observer(): ProxyObserver {
    const tell = (what: string): void => {
      this.told.push(what);
      this.#changes.tell();
    };
    return {
      refused: (_, reason) => {
        this.refusals.push(reason);
        this.#changes.tell();
      },
      arrived: (_, client) => {
        const account = this.accounts.get(client) ?? { joined: [], in: 0, out: 0, open: 0 };
        this.accounts.set(client, account);
        account.open++;
        const moved = (bytesIn: number, bytesOut: number): void => {
          account.in += bytesIn;
          account.out += bytesOut;
        };
        return {
          joined: ({ name }) => void account.joined.push(name),
          moved,
          left: (bytesIn, bytesOut) => {
            moved(bytesIn, bytesOut);
            account.open--;
          },
        };
      },
      connected: ({ name }) => tell(`connected ${name}`),
      connectFailed: ({ name }, reason) => {
        tell(`${reason} ${name}`);
        this.onConnectFailed();
      },
      retried: (_, redispatched) => tell(redispatched ? 'redispatched' : 'retried'),
      ended: (record) => {
        this.records.push(record);
        this.#changes.tell();
      },
    };
  }

  #until(what: string, look: () => boolean): Promise<boolean> {
    const now = (): string => JSON.stringify({ told: this.told, refusals: this.refusals, records: this.records });
    return this.#changes.until(
      () => `${what}: ${now()}`,
      look,
      () => false,
    );
  }

  async #close(): Promise<void> {
    await this.isEmpty();
    this.backend.close();
    this.#front.close();
    for (const node of this.nodes.values()) await node.close();
    await eventually(
      () => `as many timers and descriptors as before: ${timers()} and ${openFilesOf(process.pid)}`,
      () => timers() <= this.#before.timers && openFilesOf(process.pid) <= this.#before.files,
    );
  }
}

export function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
}
