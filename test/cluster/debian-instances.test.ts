/**
 * Several Berths on one port of a Debian that systemd runs, in a network of its own: the package's berth@.service with
 * the balancer.yml of docs/two-balancers.md, and pushes through an instance that goes away in the middle.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { noControlGroups, noNamespaces } from '../support/able.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { bootDebian, type DebianMachine } from '../support/debian-machine.ts';
import { makePackage } from '../support/debian-package.ts';
import { differences, type Image } from '../support/image.ts';
import { openNamespace } from '../support/namespace.ts';
import { RemoteTown } from '../support/remote-town.ts';
import { RARE_CHECKS, yaml, type Settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const CONFIG = '/etc/berth/balancer.yml';
/** For who comes by `*:443`. */
const ADDRESS = '127.0.0.1:443';
const ALONE = 'berth.service';
const INSTANCES = ['berth@1.service', 'berth@2.service'];
const REDIS_PORT = 6379;
/** So slow that a push is under way until the network is quick again. */
const SLOW = 'tc qdisc replace dev lo root tbf rate 40mbit burst 256k latency 100ms';
const QUICK = 'tc qdisc del dev lo root';
const LAYER_BYTES = 24_000_000;
/** The node of whoever pushes, which is not the one that a Berth begins with. */
const HOME = 's2';

const DOC = readFileSync('docs/two-balancers.md', 'utf8');
const [, DOCUMENTED = ''] = /```yaml\n([^`]*\$\{INSTANCE[^`]*)```/.exec(DOC) ?? [];
const [, SYSCTL = ''] = /echo (net\.\S+) > \/etc\/sysctl\.d\//.exec(DOC) ?? [];

const skip = noNamespaces('mount', 'net', 'pid') || noControlGroups();
describe('several instances of berth@.service', { timeout: 300_000, skip }, () => {
  let cluster: Cluster;
  let town: RemoteTown;
  let debian: DebianMachine;
  let through: [string, ...string[]];
  /** As docs/two-balancers.md has it, in front of the town's servers. */
  let documented = '';

  before(async () => {
    cluster = await startCluster({ nodes: [], redis: false });
    const { workspace } = cluster;
    const shared = join(workspace.dir, 'shared');
    mkdirSync(shared);
    renameSync(makePackage(join(workspace.dir, 'made')), join(shared, 'berth.deb'));
    const network = await openNamespace(workspace, { address: '10.78.0.1' });
    through = network.through('net');
    town = RemoteTown.open(through);
    workspace.onClose(() => town.close());
    const servers = await town.servers(2);
    documented = servers.reduce(
      (file, server, i) => file.replace(`docker_registry_server${i + 1}:5000`, server),
      DOCUMENTED,
    );
    const [command, ...inside] = through;
    const args = [...inside, 'redis-server', '--port', `${REDIS_PORT}`, '--bind', '127.0.0.1', '--save', ''];
    const redis = workspace.start({ name: 'redis', command, args });
    await redis.waitFor('is not ready', () => redis.log().includes('Ready to accept connections'));
    for (const _ of ['s1', 's2']) await cluster.addNode({ through });
    debian = await bootDebian(workspace, shared, network);
    await debian.run('apt-get', 'install', '--yes', '/shared/berth.deb');
    await debian.write('/etc/sysctl.d/50-berth-instances.conf', SYSCTL);
    await debian.run('/usr/lib/systemd/systemd-sysctl');
    assert.equal(await debian.run('cat', '/proc/sys/net/ipv4/tcp_migrate_req'), '1\n');
  });
  after(() => cluster.close());

  const among = (line: string): Promise<string> => {
    const [command, ...inside] = through;
    return cluster.workspace.run(command, [...inside, 'sh', '-ec', line]);
  };
  /** A command of an instance's own; of berth.service it is instance 0. */
  const berth = (instance: number, ...words: string[]): Promise<string> =>
    debian.run('env', `INSTANCE=${instance}`, 'berth', ...words);
  const pids = (): Promise<string[]> => Promise.all(INSTANCES.map((unit) => debian.property(unit, 'MainPID')));
  const serves = (unit: string): Promise<unknown> =>
    eventually(`${unit} to see both servers`, async () => {
      return (await debian.property(unit, 'StatusText')) === '2 of 2 servers are usable';
    });

  test('with the file of the documentation, two share a port, each with addresses of its own for people and metrics', async () => {
    await debian.write(CONFIG, documented);
    await debian.run('systemctl', 'enable', '--now', ...INSTANCES);
    for (const [i, unit] of INSTANCES.entries()) {
      await serves(unit);
      assert.match(await berth(i + 1, 'status'), /https_frontend +\[::\]:443/);
      assert.equal(await among(`curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:919${i + 1}/readyz`), '200');
    }
    assert.equal(new Set(await pids()).size, 2);
  });

  test('reloaded, upgraded and restarted one after another under load: nobody is refused, no client is split', async (t) => {
    await town.come(443, 12);
    const first = await pids();
    await debian.run('systemctl', 'reload', INSTANCES[0]!);
    await debian.write(CONFIG, documented.replace('backend: docker_registry', 'backend: nowhere'));
    await assert.rejects(debian.run('systemctl', 'reload', INSTANCES[1]!));
    await debian.write(CONFIG, documented);
    await debian.run('systemctl', 'reload', INSTANCES[1]!);
    await town.goesOn();
    await debian.run('apt-get', 'install', '--yes', '--reinstall', '/shared/berth.deb');
    assert.deepEqual(await pids(), first, 'an upgrade leaves them alone');
    for (const unit of [...INSTANCES, ...INSTANCES]) {
      await debian.run('systemctl', 'restart', unit);
      await town.goesOn();
    }
    assert.ok((await pids()).every((pid, i) => pid !== first[i]));
    const { calls, clients, failures, split } = await town.sendHome();
    assert.deepEqual({ failures, split }, { failures: [], split: 0 });
    t.diagnostic(`${calls} connections of ${clients} clients`);
  });

  test('to one Berth and back: whoever starts joins, whoever stops leaves, and nobody is refused', async () => {
    await town.come(443, 12);
    await debian.run('systemctl', 'start', ALONE);
    await debian.run('systemctl', 'stop', ...INSTANCES);
    await town.goesOn();
    assert.match(await debian.run('berth', 'status'), /https_frontend +\[::\]:443/);
    await debian.run('systemctl', 'start', ...INSTANCES);
    await debian.run('systemctl', 'stop', ALONE);
    await town.goesOn();
    const { failures, split } = await town.sendHome();
    assert.deepEqual({ failures, split }, { failures: [], split: 0 });
  });

  describe('with one table in Redis, in front of registries', () => {
    /** In force at both. */
    async function lead(drain: string): Promise<void> {
      const file = parse(documented) as Settings;
      const stickTable = { shared: { url: `redis://127.0.0.1:${REDIS_PORT}/0`, timeout: '3s' } };
      const servers = Object.fromEntries(cluster.nodes.map(({ name, endpoint }) => [name, endpoint]));
      const backends = { docker_registry: { stickTable, servers, ...RARE_CHECKS } };
      await debian.write(CONFIG, yaml({ ...file, backends, timeouts: { drain } }));
      for (const [i, unit] of INSTANCES.entries()) {
        // Systemd takes a reload for part of a start that is under way; the start may have read the file before.
        await eventually(`${unit} to run`, async () => (await debian.property(unit, 'ActiveState')) === 'active');
        await debian.run('systemctl', 'reload', unit);
        await reaches(i + 1);
      }
    }
    const reaches = (instance: number): Promise<unknown> =>
      eventually(`instance ${instance} to reach its table`, async () => {
        const metrics = await among(`curl -s http://127.0.0.1:919${instance}/metrics`);
        return metrics.includes('berth_stick_table_shared_up{backend="docker_registry"} 1');
      });
    before(async () => {
      await among(`redis-cli -p ${REDIS_PORT} set 'berth:{docker_registry}:127.0.0.1' '${HOME} elsewhere'`);
    });

    /** Begins a push; resolves, when some of it has come, to the instance that it comes by. */
    async function begin(image: Image, repository: string) {
      await among(SLOW);
      const pushed = cluster.push(image, repository, ADDRESS, { through });
      pushed.catch(() => {});
      const by = await eventually('a push by one of them', async () => {
        for (const instance of [1, 2]) {
          const all = JSON.parse(await berth(instance, 'connections', '--json')) as Standing[];
          if (all.some(({ bytesIn }) => bytesIn > 1_000_000)) return instance;
        }
        return undefined;
      });
      return { pushed, unit: INSTANCES[by - 1]! };
    }
    type Standing = { readonly bytesIn: number };

    async function isWhole(image: Image, repository: string): Promise<void> {
      const asked = cluster.nodes.filter((node) =>
        node.requests().some(({ path }) => path.includes(`/${repository}/`)),
      );
      assert.deepEqual(
        asked.map(({ name }) => name),
        [HOME],
      );
      const { dir } = await cluster.pull(repository, ADDRESS, { through });
      assert.deepEqual(await differences(image, dir), []);
    }

    test('a push goes on to its end by an instance that is restarted, whatever TimeoutStopSec is; the other one takes all that is new', async () => {
      await debian.write('/etc/systemd/system/berth@.service.d/short.conf', '[Service]\nTimeoutStopSec=2');
      await debian.run('systemctl', 'daemon-reload');
      await lead('30s');
      const image = await cluster.makeImage({ layers: 1, layerBytes: LAYER_BYTES });
      const { pushed, unit } = await begin(image, 'instances/drained');
      const first = await debian.property(unit, 'MainPID');
      await debian.run('systemctl', 'restart', '--no-block', unit);
      await eventually('it to drain', async () => (await debian.property(unit, 'ActiveState')) === 'deactivating');
      assert.equal(await among(`curl -sk -o /dev/null -w '%{http_code}' https://${ADDRESS}/v2/`), '401');
      const node = cluster.nodes.find(({ name }) => name === HOME)!;
      const come = await node.uploaded('instances/drained');
      await eventually(
        'more of it to come',
        async () => (await node.uploaded('instances/drained')) > come + 10_000_000,
      );
      await among(QUICK);
      await pushed;
      await isWhole(image, 'instances/drained');
      await eventually('the next one', async () => ![first, '0'].includes(await debian.property(unit, 'MainPID')));
    });

    const ENDS: Readonly<Record<string, readonly string[]>> = {
      'is restarted, for longer than it may drain': ['restart'],
      'is killed': ['kill', '--signal=KILL'],
    };
    for (const [what, how] of Object.entries(ENDS)) {
      test(`a push by an instance that ${what} is cut; made again, it goes to the same node`, async () => {
        await lead('500ms');
        const image = await cluster.makeImage({ layers: 1, layerBytes: LAYER_BYTES });
        const repository = `instances/${how[0]}`;
        const { pushed, unit } = await begin(image, repository);
        await debian.run('systemctl', ...how, unit);
        await among(QUICK);
        await assert.rejects(pushed);
        await cluster.push(image, repository, ADDRESS, { through });
        await isWhole(image, repository);
        await serves(unit);
      });
    }
  });

  test('removed while they run, the package ends them; purged, it leaves nothing of them', async () => {
    await debian.run('apt-get', 'remove', '--yes', 'berth');
    for (const unit of INSTANCES) assert.equal(await debian.property(unit, 'ActiveState'), 'inactive');
    await debian.run('apt-get', 'purge', '--yes', 'berth');
    const left = '/etc/systemd/system/*.wants /var/lib /var/lib/private /run';
    assert.equal(await debian.shell(`find ${left} -maxdepth 1 -name 'berth*'`), '');
  });
});
