/** A cluster in trouble, to be looked at by hand: a slow node, a node in maint, a client that hammers, and others who work. */
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { connectFrom } from '../support/forwarder.ts';
import type { Workspace } from '../support/processes.ts';
import { CLI } from '../support/berth.ts';
import { startFront, type RegistryBerth } from '../support/registry-berth.ts';
import { Screen } from './screen.ts';

/** Each byte to and from the slow node takes so long: a check takes several such times. */
const SLOW_MS = 300;
const WORKERS = ['127.0.20.1', '127.0.20.2', '127.0.20.3', '127.0.20.4'];
const HAMMER = '127.0.20.9';
/** What the client that hammers holds open, and how often it comes besides. */
const [HELD, HAMMER_MS] = [150, 50];
const PAUSE_MS = 1_000;

export class Trouble {
  readonly screen = new Screen();
  readonly #workspace: Workspace;
  readonly #logFile: string;
  #berth: RegistryBerth | undefined;
  #over = false;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.#logFile = join(workspace.dir, 'log', 'berth.log');
  }

  get berth(): RegistryBerth | undefined {
    return this.#berth;
  }

  /** Brings all of it about; it goes on until the workspace closes. What it resolves to says what to try by hand. */
  async run(): Promise<() => Promise<void>> {
    const { screen } = this;
    screen.say('A registry cluster in trouble: what do you see?');
    const cluster = await screen.during('starting', () => startCluster({ workspace: this.#workspace, nodes: 3 }));
    const [one, two, three] = cluster.nodes;
    const slow = await connectFrom('127.0.0.1', two!.port, { delayMs: SLOW_MS });
    this.#workspace.onClose(() => slow.close());
    const admin = `127.0.0.1:${await this.#workspace.freePort()}`;
    const berth = (this.#berth = await startFront(cluster, {
      nodes: [one!, { name: two!.name, endpoint: `127.0.0.1:${slow.port}` }, three!],
      healthCheck: { timeout: '5s' },
      rest: { admin: { bind: admin } },
      logFile: this.#logFile,
    }));
    this.#workspace.onClose(async () => void (this.#over = true));
    screen.done(`three nodes, Berth on 127.0.0.1:${await berth.port()}`);
    await this.#say('maint', `docker_registry/${three!.name}`);
    screen.done(`${two!.name} is slow: ${SLOW_MS} ms each way; ${three!.name} is in maint`);
    void this.#hammer(await berth.port());
    screen.done(`${HAMMER} holds ${HELD} connections and makes ${1_000 / HAMMER_MS} more a second`);
    for (const from of WORKERS) void this.#work(cluster, from, await berth.port());
    screen.done(`${WORKERS.join(', ')} push and pull, again and again`);
    await screen.during('waiting for the crowd', () =>
      berth.metricReaches('berth_stick_table_crowd_connections', (connections) => connections >= HELD),
    );
    screen.say(`\n${await this.#say('status')}\n${await this.#say('explain', HAMMER)}`);
    return () => this.#invite(berth);
  }

  /** What to try by hand while it is up. */
  async #invite(berth: RegistryBerth): Promise<void> {
    const { screen } = this;
    screen.title('Try it');
    screen.say(`  export BERTH_CONFIG=${berth.file}`);
    screen.say(`  alias berth='node ${CLI}'`);
    for (const call of ['top', 'status', 'sessions', `explain ${HAMMER}`, 'events', 'help'])
      screen.say(`  berth ${call}`);
    screen.say(`  curl ${await berth.metricsUrl()}`);
    screen.say(`  tail -f ${this.#logFile}`);
    screen.say(`  grep remoteaddr ${join(this.#workspace.dir, 'log', 's1.log')}   # then: berth whois ADDRESS`);
    screen.say('\nWhich node is slow, which is out, and who hammers? Ctrl-C ends everything and removes it.');
  }

  #say(...args: string[]): Promise<string> {
    return this.#workspace.run(process.execPath, [CLI, ...args, '-c', this.#berth?.file ?? '']);
  }

  /** One client that pushes an image of its own and pulls it. */
  async #work(cluster: Cluster, from: string, port: number): Promise<void> {
    const way = await cluster.connectFrom(from, port);
    for (let i = 1; !this.#over; i++) {
      const image = await cluster.makeImage({ layers: 3, layerBytes: 2_000_000 });
      // The end of everything breaks it.
      await this.#once(cluster, image, `work/${from.replaceAll('.', '-')}:${i}`, way.port).catch(() => {});
      await rm(image.source.split(':')[1] ?? '', { recursive: true, force: true }).catch(() => {});
      await sleep(PAUSE_MS);
    }
  }

  async #once(
    cluster: Cluster,
    image: Awaited<ReturnType<Cluster['makeImage']>>,
    name: string,
    port: number,
  ): Promise<void> {
    await cluster.push(image, name, port);
    const { dir } = await cluster.pull(name, port);
    await rm(dir, { recursive: true, force: true });
  }

  async #hammer(port: number): Promise<void> {
    const come = (): Socket => connect({ port, host: '127.0.0.1', localAddress: HAMMER }).on('error', () => {});
    const held = new Set<Socket>();
    while (!this.#over) {
      while (held.size < HELD) {
        const socket = come();
        held.add(socket);
        socket.resume().once('close', () => held.delete(socket));
      }
      const brief = come();
      brief.once('connect', () => brief.end());
      await sleep(HAMMER_MS);
    }
    for (const socket of held) socket.destroy();
  }
}
