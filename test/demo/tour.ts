/** The demo's story: a push, a pull, a node that dies, a push again. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { differences, type Image } from '../support/image.ts';
import type { RegistryNode } from '../support/node.ts';
import type { Workspace } from '../support/processes.ts';
import { startFront, type Connection, type RegistryBerth } from '../support/registry-berth.ts';
import { megabytes, plural, rate, Screen, seconds, tally } from './screen.ts';

/** The steps, in order. */
export class Demo {
  readonly screen = new Screen();
  readonly workspace: Workspace;
  berth: RegistryBerth | undefined;
  readonly #logFile: string;
  #answered = new Map<string, number>();

  constructor(workspace: Workspace) {
    this.workspace = workspace;
    this.#logFile = join(workspace.dir, 'log', 'berth.log');
  }

  /** Throws when a step fails. What it resolves to says what to try by hand. */
  async run(): Promise<() => Promise<void>> {
    const { screen } = this;
    screen.say('Berth in front of two real Docker registry nodes. Every figure is measured on this run.');
    screen.title('The cluster');
    const progress = (step: string) => screen.done(step);
    const cluster = await screen.during('starting', () => startCluster({ workspace: this.workspace, progress }));
    screen.done('the nodes share one storage, one HTTP secret, one Redis and one user');
    const berth = await screen.during('starting Berth', () => this.#startBerth(cluster));
    screen.done(`Berth on 127.0.0.1:${await berth.port()}, both nodes up, metrics on ${await berth.metricsUrl()}`);

    screen.title('A push and a pull');
    const image = await this.#makeImage(cluster, 20_000_000);
    const pushed = await this.#push(cluster, berth, image, 'demo/first:1');
    const pulled = await this.#pull(cluster, berth, image, 'demo/first:1');
    this.#report(cluster, [...pushed, ...pulled]);

    const victim = cluster.nodes.find(({ name }) => name === pulled.at(-1)?.server);
    if (!victim) throw new Error(`Berth's log names no node for the pull: ${JSON.stringify(pulled)}`);
    screen.title(`${victim.name} dies`);
    await this.#failover(cluster, berth, victim, image);
    return () => this.#invite(cluster, berth);
  }

  async #startBerth(cluster: Cluster): Promise<RegistryBerth> {
    this.berth = await startFront(cluster, { logFile: this.#logFile });
    await this.berth.metricReaches('berth_server_up', (up) => up === cluster.nodes.length);
    return this.berth;
  }

  async #failover(cluster: Cluster, berth: RegistryBerth, victim: RegistryNode, first: Image): Promise<void> {
    const { screen } = this;
    const image = await this.#makeImage(cluster, 4_000_000);
    const killed = Date.now();
    await victim.kill();
    screen.done(`killed ${victim.name}, the client's node, with SIGKILL`);
    const pushed = await this.#push(cluster, berth, image, 'demo/second:1');
    const down = await screen.during('waiting for the health checks', () => berth.change('server down', victim.name));
    const after = (Date.parse(String(down['time'])) - killed) / 1000;
    const pulled = await this.#pull(cluster, berth, first, 'demo/first:1');
    this.#report(cluster, [...pushed, ...pulled]);
    const retries = pushed.reduce((total, connection) => total + connection.retries, 0);
    const failed = `${plural(retries, 'connect attempt')} to ${victim.name} failed and went on to ${pushed.at(-1)?.server}`;
    const none = `${victim.name} was known to be down before the first connection came`;
    screen.fact('failover', `${retries > 0 ? failed : none}; skopeo saw no error`);
    screen.fact('health', `${victim.name} marked down ${seconds(after)} after the kill: ${String(down['reason'])}`);
  }

  async #makeImage(cluster: Cluster, layerBytes: number): Promise<Image> {
    const image = await this.screen.during('making an image', () => cluster.makeImage({ layers: 5, layerBytes }));
    this.screen.done(`made an image of ${megabytes(image.bytes)}: ${image.layers.length} layers of random bytes`);
    return image;
  }

  async #push(cluster: Cluster, berth: RegistryBerth, image: Image, repository: string): Promise<Connection[]> {
    const detail = await progressOf(berth, 'berth_server_bytes_in_total');
    const port = await berth.port();
    const task = () => cluster.push(image, repository, port);
    const push = await this.screen.during(`pushing ${repository}`, task, detail);
    this.screen.done(`pushed ${repository}: ${rate(image.bytes, push.seconds)}`);
    return this.#through(berth);
  }

  async #pull(cluster: Cluster, berth: RegistryBerth, image: Image, repository: string): Promise<Connection[]> {
    const detail = await progressOf(berth, 'berth_server_bytes_out_total');
    const port = await berth.port();
    const task = () => cluster.pull(repository, port);
    const pull = await this.screen.during(`pulling ${repository}`, task, detail);
    const wrong = await this.screen.during('comparing', () => differences(image, pull.dir));
    await rm(pull.dir, { recursive: true });
    if (wrong.length > 0) throw new Error(`the pulled image is not the pushed one:\n${wrong.join('\n')}`);
    this.screen.done(`pulled ${repository}: ${rate(image.bytes, pull.seconds)}, byte-identical to what was pushed`);
    return this.#through(berth);
  }

  /** Says what the connections that have just ended carried, and where to. */
  async #through(berth: RegistryBerth): Promise<Connection[]> {
    const connections = await berth.newConnections();
    const sum = (key: 'in' | 'out') => megabytes(connections.reduce((total, connection) => total + connection[key], 0));
    const servers = tally(connections.map(({ server }) => `to ${server ?? 'no node'}`));
    const all = servers.includes(',') ? servers : servers.replace(' ', ', all ');
    this.screen.fact('connections', `${all}; ${sum('in')} to the node, ${sum('out')} back`);
    return connections;
  }

  #report(cluster: Cluster, connections: Connection[]): void {
    const last = connections.at(-1);
    const client = last?.client.replace(/:\d+$/, '');
    const via = tally(connections.map((connection) => connection.via));
    this.screen.fact('binding', `client ${client} → ${last?.server} (connections: ${via})`);
    const requests = cluster.nodes.map((node) => {
      const answered = node.requests().filter(({ agent }) => agent.startsWith('skopeo/')).length;
      const fresh = answered - (this.#answered.get(node.name) ?? 0);
      this.#answered.set(node.name, answered);
      return `${node.name} answered ${plural(fresh, 'request')}`;
    });
    this.screen.fact("nodes' logs", requests.join(', '));
  }

  /** What to try by hand while it is up. */
  async #invite({ ca, user, password }: Cluster, berth: RegistryBerth): Promise<void> {
    const { screen } = this;
    const port = await berth.port();
    const certs = `/etc/docker/certs.d/127.0.0.1:${port}`;
    screen.title('Try it');
    screen.say(`  echo ${password} | docker login --username ${user} --password-stdin 127.0.0.1:${port}`);
    screen.say(`  curl --cacert ${ca} --user ${user}:${password} https://127.0.0.1:${port}/v2/_catalog`);
    screen.say(`  curl ${await berth.metricsUrl()}`);
    screen.say(`  tail -f ${this.#logFile}`);
    screen.say(
      `\nDocker does not verify a registry on 127.0.0.0/8. Podman does, and so does Docker for any other address:`,
    );
    screen.say(`  sudo mkdir -p ${certs} && sudo cp ${ca} ${certs}/ca.crt`);
    screen.say('\nCtrl-C ends everything and removes it.');
  }
}

/** How far a metric has got since now, for a line of progress. */
async function progressOf(berth: RegistryBerth, metric: string): Promise<() => Promise<string>> {
  const before = await berth.sum(metric);
  return async () => `, ${megabytes((await berth.sum(metric)) - before)}`;
}
