/**
 * `npm run demo`: Berth in front of two real registry nodes, a push, a pull, a node that dies, a push again. Every figure it
 * prints is measured on this run: from Berth's log and metrics, the nodes' logs and the clock.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { differences, startCluster, type Cluster, type Image, type RegistryNode } from './support/cluster.ts';
import { openWorkspace, type Program, type Workspace } from './support/processes.ts';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url)); // this file runs from .build/test/
const FRONTEND = 'https_frontend';
const BACKEND = 'docker_registry';
const HELP = `Usage: npm run demo [-- --once]

Starts a registry cluster with Berth in front of it in a temporary directory, pushes and pulls an image, kills a node,
pushes again, and stays up until Ctrl-C. Everything is on loopback, and everything is removed at the end.

  --once   end after the last step instead of staying up
`;

/** One line of Berth's log about one connection. */
interface Connection {
  server: string | null;
  client: string;
  via: string;
  retries: number;
  in: number;
  out: number;
}

/** Lines of finished steps, and on a terminal one line below them that shows what is going on. */
class Screen {
  #live = process.stdout.isTTY && process.env['TERM'] !== 'dumb';
  #colour = this.#live && !process.env['NO_COLOR'];
  #frame = 0;
  #silent = false;

  title(text: string): void {
    this.say(`\n${this.#paint(1, text)}`);
  }

  done(text: string): void {
    this.say(`  ${this.#paint(32, '✓')} ${text}`);
  }

  fact(name: string, text: string): void {
    this.say(`    ${name.padEnd(12)}${text}`);
  }

  say(text: string): void {
    if (this.#silent) return;
    process.stdout.write(`${this.#live ? '\r\x1b[K' : ''}${text}\n`);
  }

  /** The last word: a step that goes on after Ctrl-C has nothing to add. */
  end(text: string): void {
    this.say(text);
    this.#silent = true;
  }

  /** Shows `what` and the seconds while `task` lasts. `detail` adds what is known by then. */
  async during<T>(what: string, task: () => Promise<T>, detail = async (): Promise<string> => ''): Promise<T> {
    if (!this.#live) return task();
    const started = performance.now();
    let more = '';
    const timer = setInterval(() => {
      if (this.#silent) return;
      if (this.#frame++ % 3 === 0) void detail().then((text) => (more = text), Boolean);
      const spinner = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'[this.#frame % 10];
      const text = `${spinner} ${what} ${seconds((performance.now() - started) / 1000)}${more}`;
      process.stdout.write(`\r  ${text.slice(0, (process.stdout.columns ?? 80) - 3)}\x1b[K`);
    }, 100);
    try {
      return await task();
    } finally {
      clearInterval(timer);
      if (!this.#silent) process.stdout.write('\r\x1b[K');
    }
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (value: number) => `${value.toFixed(value < 0.1 ? 3 : 1)} s`;
const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
const rate = (bytes: number, took: number) =>
  `${megabytes(bytes)} in ${seconds(took)} (${Math.round(bytes / 1e6 / took)} MB/s)`;

/** How often each value occurs, most frequent first: `20 stuck, 1 redispatched`. */
function tally(values: string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a);
  return sorted.map(([value, count]) => `${count} ${value}`).join(', ') || 'none';
}

/** A running Berth, known by its log and its metrics. */
class Berth {
  readonly port: number;
  readonly metricsUrl: string;
  readonly program: Program;
  #seen = 0;

  constructor(program: Program, port: number, metricsPort: number) {
    this.program = program;
    this.port = port;
    this.metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
  }

  /** The sum of a metric's series. */
  async metric(name: string): Promise<number> {
    const response = await fetch(this.metricsUrl, { signal: AbortSignal.timeout(2_000) });
    const series = (await response.text()).matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'));
    return [...series].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** How far `name` has got since now, for a line of progress. */
  async progress(name: string): Promise<() => Promise<string>> {
    const before = await this.metric(name);
    return async () => `, ${megabytes((await this.metric(name)) - before)}`;
  }

  /** The connections that ended since the last call, as soon as the log tells of every one that was accepted. */
  async connections(): Promise<Connection[]> {
    const all = await this.program.waitFor('did not log every connection', async () => {
      const accepted = await this.metric('berth_frontend_connections_total');
      const logged = this.program.records().filter(({ msg }) => msg === 'connection');
      return logged.length === accepted && (logged as unknown as Connection[]);
    });
    const fresh = all.slice(this.#seen);
    this.#seen = all.length;
    return fresh;
  }

  /** The log line that says that a server went down, once it is there. */
  serverDown(server: string): Promise<Record<string, unknown>> {
    return this.program.waitFor(`did not notice that ${server} is down`, () =>
      this.program.records().find((record) => record['msg'] === 'server down' && record['server'] === server),
    );
  }
}

async function startBerth(cluster: Cluster): Promise<Berth> {
  const { workspace, nodes, ca, names } = cluster;
  const [port, metricsPort] = [await workspace.freePort(), await workspace.freePort()];
  const file = join(workspace.dir, 'balancer.yml');
  await writeFile(
    file,
    `frontends:
  ${FRONTEND}:
    bind: "127.0.0.1:${port}"
    backend: ${BACKEND}
backends:
  ${BACKEND}:
    healthCheck:
      type: registry
      tls: { ca: "${ca}", serverName: ${names[0]} }
      interval: 1s
      fastInterval: 200ms
    servers:
${nodes.map(({ name, endpoint }) => `      ${name}: ${endpoint}\n`).join('')}metrics:
  bind: "127.0.0.1:${metricsPort}"
timeouts:
  drain: 2s
`,
  );
  const args = [CLI, 'start', '-c', file];
  const berth = new Berth(workspace.start({ name: 'berth', command: process.execPath, args }), port, metricsPort);
  // Nodes start as up, and the first failed check marks one down: so each is up once it has been checked and still is.
  // The frontend itself is left alone, so that the first connection it sees, and binds, is the push's.
  await berth.program.waitFor('does not see every node up', async () => {
    const checks = await berth.metric('berth_server_checks_total').catch(() => 0);
    return checks >= nodes.length && (await berth.metric('berth_server_up')) === nodes.length;
  });
  return berth;
}

/** The steps, in order. */
class Demo {
  readonly screen = new Screen();
  readonly workspace: Workspace;
  berth: Berth | undefined;
  #answered = new Map<string, number>();

  constructor(workspace: Workspace) {
    this.workspace = workspace;
  }

  /** Throws when a step fails. */
  async run(): Promise<{ cluster: Cluster; berth: Berth }> {
    const { screen } = this;
    screen.say('Berth in front of two real Docker registry nodes. Every figure is measured on this run.');
    screen.title('The cluster');
    const progress = (step: string) => screen.done(step);
    const cluster = await screen.during('starting', () => startCluster({ workspace: this.workspace, progress }));
    screen.done('the nodes share one storage, one HTTP secret, one Redis and one user');
    const berth = await screen.during('starting Berth', () => startBerth(cluster));
    this.berth = berth;
    screen.done(`Berth on 127.0.0.1:${berth.port}, both nodes up, metrics on ${berth.metricsUrl}`);

    screen.title('A push and a pull');
    const image = await this.#makeImage(cluster, 20_000_000);
    const pushed = await this.#push(cluster, berth, image, 'demo/first:1');
    const pulled = await this.#pull(cluster, berth, image, 'demo/first:1');
    this.#report(cluster, [...pushed, ...pulled]);

    const victim = cluster.nodes.find(({ name }) => name === pulled.at(-1)?.server);
    if (!victim) throw new Error(`Berth's log names no node for the pull: ${JSON.stringify(pulled)}`);
    screen.title(`${victim.name} dies`);
    await this.#failover(cluster, berth, victim, image);
    return { cluster, berth };
  }

  async #failover(cluster: Cluster, berth: Berth, victim: RegistryNode, first: Image): Promise<void> {
    const { screen } = this;
    const image = await this.#makeImage(cluster, 4_000_000);
    const killed = Date.now();
    await victim.kill();
    screen.done(`killed ${victim.name}, the client's node, with SIGKILL`);
    const pushed = await this.#push(cluster, berth, image, 'demo/second:1');
    const down = await screen.during('waiting for the health checks', () => berth.serverDown(victim.name));
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

  async #push(cluster: Cluster, berth: Berth, image: Image, repository: string): Promise<Connection[]> {
    const detail = await berth.progress('berth_server_bytes_in_total');
    const task = () => cluster.push(image, repository, berth.port);
    const push = await this.screen.during(`pushing ${repository}`, task, detail);
    this.screen.done(`pushed ${repository}: ${rate(image.bytes, push.seconds)}`);
    return this.#through(berth);
  }

  async #pull(cluster: Cluster, berth: Berth, image: Image, repository: string): Promise<Connection[]> {
    const detail = await berth.progress('berth_server_bytes_out_total');
    const task = () => cluster.pull(repository, berth.port);
    const pull = await this.screen.during(`pulling ${repository}`, task, detail);
    const wrong = await this.screen.during('comparing', () => differences(image, pull.dir));
    await rm(pull.dir, { recursive: true });
    if (wrong.length > 0) throw new Error(`the pulled image is not the pushed one:\n${wrong.join('\n')}`);
    this.screen.done(`pulled ${repository}: ${rate(image.bytes, pull.seconds)}, byte-identical to what was pushed`);
    return this.#through(berth);
  }

  /** Says what the connections that have just ended carried, and where to. */
  async #through(berth: Berth): Promise<Connection[]> {
    const connections = await berth.connections();
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
  invite({ ca, user, password, workspace }: Cluster, { port, metricsUrl }: Berth): void {
    const { screen } = this;
    const certs = `/etc/docker/certs.d/127.0.0.1:${port}`;
    screen.title('Try it');
    screen.say(`  echo ${password} | docker login --username ${user} --password-stdin 127.0.0.1:${port}`);
    screen.say(`  curl --cacert ${ca} --user ${user}:${password} https://127.0.0.1:${port}/v2/_catalog`);
    screen.say(`  curl ${metricsUrl}`);
    screen.say(`  tail -f ${workspace.dir}/log/berth.log`);
    screen.say(
      `\nDocker does not verify a registry on 127.0.0.0/8. Podman does, and so does Docker for any other address:`,
    );
    screen.say(`  sudo mkdir -p ${certs} && sudo cp ${ca} ${certs}/ca.crt`);
    screen.say('\nCtrl-C ends everything and removes it.');
  }
}

/** 2 when the call itself is wrong, undefined when there is work to do. */
function readArguments(args: string[]): { exitCode: number } | { once: boolean } {
  const unknown = args.find((arg) => !['--once', '--help', '-h'].includes(arg));
  if (unknown !== undefined) {
    process.stderr.write(`demo: unknown argument ${JSON.stringify(unknown)}; there are --once and --help\n`);
    return { exitCode: 2 };
  }
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return { exitCode: 0 };
  }
  return { once: args.includes('--once') };
}

async function main(): Promise<number> {
  const call = readArguments(process.argv.slice(2));
  if ('exitCode' in call) return call.exitCode;
  process.stdout.on('error', () => process.exit(1)); // its reader has gone, as in `| head`; the workspace sees to the rest
  const workspace = openWorkspace({ handleSignals: false });
  const demo = new Demo(workspace);
  // `on`, not `once`: under npm one Ctrl-C arrives twice, from the terminal and from npm.
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('interrupted'));
  });
  let exitCode = 0;
  try {
    const result = await Promise.race([demo.run(), interrupted]);
    if (result === 'interrupted') exitCode = 130;
    else if (!call.once) {
      demo.invite(result.cluster, result.berth);
      await interrupted;
    }
  } catch (error) {
    exitCode = 1;
    demo.screen.say(`\n✗ ${(error as Error).message}`);
    if (demo.berth) demo.screen.say(`\nThe end of Berth's log:\n${demo.berth.program.tail(8)}`);
  }
  demo.screen.end('\nEnding what was started and removing its directory');
  await workspace.close();
  workspace.closeNow(); // what an interrupted step may have written since
  return exitCode;
}

process.exit(await main());
