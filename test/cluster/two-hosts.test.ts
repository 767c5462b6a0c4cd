/**
 * Two balancers on two hosts, as networks of their own, with the keepalived.conf of deploy/ha: the address moves under
 * load, and a push that was under way succeeds when its client makes it again, on the node that it had, since both
 * balancers have one table.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { Berth } from '../support/berth.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { differences, type Image } from '../support/image.ts';
import { openNamespace, switchNamespaces, type Namespace } from '../support/namespace.ts';
import type { Program } from '../support/program.ts';
import { eventually } from '../support/waiting.ts';

const KEEPALIVED = resolve('deploy/ha/keepalived.conf');
/** As in that file. */
const ADDRESS = '192.0.2.10';
const NODES = '192.0.2.21';
const CLIENT = '192.0.2.100';
/** Comes first, so that the client's node is not the one that a balancer begins with. */
const SOMEBODY = '192.0.2.101';
const REDIS_PORT = 6379;
/** So slow that a push is under way until the link is quick again. */
const SLOW = 'rate 4mbit burst 16k latency 100ms';
const LAYER_BYTES = 24_000_000;
const NOBODY = '000';

/** A balancer's host: an address that it may have or not, keepalived, Berth. */
class Host {
  readonly name: string;
  readonly namespace: Namespace;
  readonly #cluster: Cluster;
  berth!: Berth;
  #keepalived: Program | undefined;

  constructor(name: string, namespace: Namespace, cluster: Cluster) {
    this.name = name;
    this.namespace = namespace;
    this.#cluster = cluster;
  }

  async run(command: string, ...args: string[]): Promise<string> {
    const [nsenter, ...inside] = this.namespace.through('net');
    return this.#cluster.workspace.run(nsenter, [...inside, command, ...args]);
  }

  async startBerth(): Promise<void> {
    const { ca, names, nodes } = this.#cluster;
    const tls = { ca, serverName: names[0] };
    const config = {
      frontends: { https_frontend: { bind: '*:443', backend: 'docker_registry' } },
      backends: {
        docker_registry: {
          stickTable: { shared: `redis://${NODES}:${REDIS_PORT}/0` },
          healthCheck: { type: 'registry', tls, interval: '500ms', fastInterval: '200ms', timeout: '1s' },
          servers: Object.fromEntries(nodes.map(({ name, port }) => [name, `${NODES}:${port}`])),
        },
      },
      timeouts: { lameDuck: '8s', drain: '1s' },
    };
    this.berth = new Berth(config, { through: this.namespace.through('net'), within: this.#cluster.workspace.dir });
    this.#cluster.workspace.onClose(() => this.berth.stop());
    await this.berth.line(({ msg }) => msg === 'shared table: connected');
  }

  startKeepalived(): void {
    const [command, ...inside] = this.namespace.through('net');
    const pid = (what: string): string => join(this.#cluster.workspace.dir, `${this.name}.${what}.pid`);
    const own = ['--config-id', this.name, '--pid', pid('keepalived'), '--vrrp_pid', pid('vrrp')];
    const how = ['--dont-fork', '--log-console', '--vrrp', '--use-file', KEEPALIVED];
    const args = [...inside, 'keepalived', ...how, ...own];
    this.#keepalived = this.#cluster.workspace.start({ name: `keepalived-${this.name}`, command, args });
  }

  async hasAddress(): Promise<boolean> {
    return (await this.run('ip', '-brief', 'address', 'show', 'eth0')).includes(`${ADDRESS}/24`);
  }

  /** As when its power goes: its cable says nothing any more. */
  async vanish(): Promise<void> {
    await this.run('ip', 'link', 'set', 'eth0', 'down');
    await Promise.all([this.#keepalived?.kill(), this.berth.stop()]);
  }

  async comeBack(): Promise<void> {
    await this.run('ip', 'address', 'flush', 'dev', 'eth0', 'to', `${ADDRESS}/32`);
    await this.run('ip', 'link', 'set', 'eth0', 'up');
    await this.startBerth();
    this.startKeepalived();
  }

  /** Whether it reaches the nodes. */
  reachesNodes(yes: boolean): Promise<string> {
    return this.run('ip', 'route', yes ? 'delete' : 'add', 'blackhole', `${NODES}/32`);
  }
}

suite('two hosts, one address', { skip: noNamespaces('mount', 'net'), timeout: 240_000 }, () => {
  let cluster: Cluster;
  let client: Namespace;
  let hosts: readonly [Host, Host];
  before(async () => {
    cluster = await startCluster({ nodes: [], redis: false, names: ['registry.test', ADDRESS] });
    const { workspace } = cluster;
    const hub = await openNamespace(workspace, { address: '10.98.1.1' });
    const [one, other] = [
      await openNamespace(workspace, { address: '10.98.1.2' }),
      await openNamespace(workspace, { address: '10.98.1.3' }),
    ];
    client = await openNamespace(workspace, { address: '10.98.1.4' });
    const cables = [[one, '192.0.2.11'] as const, [other, '192.0.2.12'] as const, [client, CLIENT] as const];
    await switchNamespaces(workspace, [hub, NODES], cables);
    await among(`ip address add ${SOMEBODY}/24 dev eth0`);
    const [command, ...inside] = hub.through('net');
    const redis = `redis-server --port ${REDIS_PORT} --bind ${NODES} --protected-mode no`.split(' ');
    const table = workspace.start({ name: 'redis', command, args: [...inside, ...redis] });
    await table.waitFor('is not ready', () => table.log().includes('Ready to accept connections'));
    for (const _ of ['s1', 's2']) await cluster.addNode({ through: hub.through('net'), address: '0.0.0.0' });
    hosts = [new Host('lb1', one, cluster), new Host('lb2', other, cluster)];
    for (const host of hosts) {
      await host.startBerth();
      host.startKeepalived();
    }
    await holder();
    const curl = `curl -sk -m 10 --retry 3 --retry-connrefused -o /dev/null https://${ADDRESS}/v2/ --interface`;
    for (const from of [SOMEBODY, CLIENT]) await among(`${curl} ${from}`);
  });
  after(() => cluster.close());

  /** Who has the address; and the other one. */
  async function holder(): Promise<[Host, Host]> {
    const [one, other] = hosts;
    return eventually('one host to have the address', async (): Promise<[Host, Host] | undefined> => {
      const [here, there] = [await one.hasAddress(), await other.hasAddress()];
      if (here === there) return undefined;
      return here ? [one, other] : [other, one];
    });
  }

  async function among(text: string): Promise<string> {
    const [command, ...args] = client.through('net');
    return cluster.workspace.run(command, [...args, 'sh', '-c', text]);
  }

  /** Somebody who knocks all the time. Resolves, when told to stop, to what each knock met and how long nobody answered. */
  function knock(name: string): { stop: () => Promise<{ failed: number; knocks: number; awayS: number }> } {
    const enough = join(cluster.workspace.dir, `enough-${name}`);
    const curl = `curl -sk -m 1 -o /dev/null -w '%{http_code}' https://${ADDRESS}/v2/`;
    const said = among(`while [ ! -e ${enough} ]; do echo $(date +%s.%N) $(${curl}); sleep 0.05; done`);
    const stop = async () => {
      writeFileSync(enough, '');
      const knocks = (await said)
        .trim()
        .split('\n')
        .map((line) => line.split(' '));
      let [awayS, lastS] = [0, Number(knocks[0]?.[0])];
      for (const [at, code] of knocks) {
        if (code === NOBODY) continue;
        awayS = Math.max(awayS, Number(at) - lastS);
        lastS = Number(at);
      }
      return { failed: knocks.filter(([, code]) => code === NOBODY).length, knocks: knocks.length, awayS };
    };
    return { stop };
  }

  const push = (image: Image, repository: string): Promise<unknown> =>
    cluster.push(image, repository, ADDRESS, { through: client.through('net') });

  /** The nodes that have been asked for a repository. */
  const nodesOf = (repository: string): string[] =>
    cluster.nodes
      .filter((node) => node.requests().some(({ path }) => path.startsWith(`/v2/${repository}/`)))
      .map(({ name }) => name);

  /** The address moves while a push is under way; the push, made again, succeeds on the node that it had. */
  async function movedDuringAPush(t: TestContext, repository: string, act: (host: Host) => Promise<unknown>) {
    const [from, to] = await holder();
    const image = await cluster.makeImage({ layers: 1, layerBytes: LAYER_BYTES });
    await among(`tc qdisc add dev eth0 root tbf ${SLOW}`);
    const first = push(image, `${repository}:1`).then(
      () => 'the push went on',
      (error: Error) => error.message.trim().split('\n').at(-1) ?? '',
    );
    await eventually('bytes of the push that wait', async () => {
      const sockets = await among(`ss -tnH state established dst ${ADDRESS}`);
      return sockets.split('\n').some((line) => Number(line.trim().split(/\s+/)[1]) > 50_000);
    });
    const knocking = knock(repository.replace('/', '-'));
    await act(from);
    await eventually(`${to.name} to have the address`, () => to.hasAddress());
    await among('tc qdisc del dev eth0 root');
    const ended = await first;
    await push(image, `${repository}:1`);
    const { failed, knocks, awayS } = await knocking.stop();
    t.diagnostic(
      `nobody answered for ${awayS.toFixed(1)} s (${failed} of ${knocks} knocks in vain); ${ended.slice(-160)}`,
    );
    // A Redis that is too slow for its 80 ms, as on a machine with too much to do, is one that they go on without.
    const without = to.berth.lines.some(({ msg }) => msg.startsWith('shared table: not reached'));
    if (without) t.diagnostic(`Redis was too slow; served by ${nodesOf(repository).join(' and ')}`);
    else assert.deepEqual(nodesOf(repository), ['s2'], 'as both balancers know');
    const pulled = await cluster.pull(`${repository}:1`, ADDRESS, { through: client.through('net') });
    assert.deepEqual(await differences(image, pulled.dir), []);
    return [from, to] as const;
  }

  test('keepalived finds nothing wrong with the file, on either host', async () => {
    for (const host of hosts) {
      assert.equal(
        await host.run('keepalived', '--config-test', '--use-file', KEEPALIVED, '--config-id', host.name),
        '',
      );
    }
  });

  test('the host with the address vanishes: the other one has it, and keeps it when the first is back', async (t) => {
    const [gone, here] = await movedDuringAPush(t, 'host/gone', (host) => host.vanish());
    const log = (): string => readFileSync(join(cluster.workspace.dir, 'log', `keepalived-${gone.name}.log`), 'utf8');
    const told = log().length;
    await gone.comeBack();
    await eventually('the check of who is back', () => log().includes('VRRP_Script(berth_ready) succeeded', told));
    assert.deepEqual(await holder(), [here, gone]);
  });

  test('Berth is killed in the middle of a push: the address goes to the other one', async (t) => {
    const [killed] = await movedDuringAPush(t, 'berth/killed', (host) => host.berth.stop());
    await killed.startBerth();
  });

  test('Berth is told to stop: it goes on serving until the address has moved', async (t) => {
    const [from, to] = await holder();
    const knocking = knock('stopped');
    from.berth.signal('SIGTERM');
    await eventually(`${to.name} to have the address`, () => to.hasAddress());
    assert.equal(await from.berth.exited, 0);
    const { failed, knocks, awayS } = await knocking.stop();
    t.diagnostic(`nobody answered for ${awayS.toFixed(1)} s (${failed} of ${knocks} knocks in vain)`);
    await from.startBerth();
  });

  test('a balancer that reaches no node yields; where neither does, one of them has the address all the same', async () => {
    const [from, to] = await holder();
    await from.reachesNodes(false);
    await eventually(`${to.name} to have the address`, () => to.hasAddress());
    assert.equal((await holder())[0], to);
    const seen = to.berth.lines.length;
    await to.reachesNodes(false);
    for (const { name } of cluster.nodes) await to.berth.change('server down', name, seen);
    // Both priorities are as low now; who has the address keeps it.
    await eventually('clients to be turned away, at once', async () => {
      const curl = `curl -sk -m 5 -o /dev/null https://${ADDRESS}/v2/; echo $?`;
      return ['35', '52', '56'].includes((await among(curl)).trim());
    });
    assert.equal((await holder())[0], to);
    for (const host of hosts) await host.reachesNodes(true);
  });
});
