import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import type { RegistryNode } from '../support/node.ts';
import { failed, frontFor, serversOf } from '../support/registry-berth.ts';

const REPOSITORY = 'berth/probe';
const OFTEN = { interval: '200ms', fastInterval: '100ms' };
const IMPATIENT = { ...OFTEN, timeout: '1s', fall: 2 };

suite("a check of a registry node's storage", { timeout: 120_000 }, () => {
  let cluster: Cluster;
  let passwordFile: string;
  before(async () => {
    cluster = await startCluster({ redis: false, nodes: 0 });
    for (const name of ['one', 'two']) await cluster.addNode({ storage: join(cluster.workspace.dir, name) });
    passwordFile = join(cluster.workspace.dir, 'password');
    await writeFile(passwordFile, `${cluster.password}\n`);
  });
  after(() => cluster.close());

  const storage = () => ({ repository: REPOSITORY, user: cluster.user, passwordFile });

  test('passes where the registry is empty: NAME_UNKNOWN is an answer of its storage', async (t) => {
    const berth = await frontFor(t, cluster, { healthCheck: { ...OFTEN, storage: storage() } });
    await berth.metricReaches('berth_server_up', (up) => up === 2);
    for (const node of cluster.nodes) {
      // A node logs a request when it has answered it: the first one is there when the second check is over.
      await berth.metricReaches('berth_server_checks_total', (checks) => checks >= 2, node.name);
      const asked = node.requests().findLast(({ path }) => path === `/v2/${REPOSITORY}/tags/list`);
      assert.deepEqual([asked?.status, asked?.agent], [404, 'berth']);
    }
  });

  test('passes where the repository is there', async (t) => {
    const image = await cluster.makeImage({ layers: 1, layerBytes: 10_000 });
    for (const { port } of cluster.nodes) await cluster.push(image, `there/already:1`, port);
    const berth = await frontFor(t, cluster, {
      healthCheck: { ...OFTEN, storage: { ...storage(), repository: 'there/already' } },
    });
    await berth.metricReaches('berth_server_up', (up) => up === 2);
  });

  test('takes no node down for a wrong password, says so, and keeps both passwords out of the log', async (t) => {
    const wrong = join(cluster.workspace.dir, 'wrong-password');
    await writeFile(wrong, 'swordfish\n');
    const berth = await frontFor(t, cluster, {
      healthCheck: { ...OFTEN, storage: { ...storage(), passwordFile: wrong } },
    });
    for (const { name } of cluster.nodes) {
      const { reason } = await berth.line(({ msg, server }) => msg === 'storage unknown' && server === name);
      assert.equal(await berth.sum('berth_server_up', name), 1);
      assert.equal(reason, `GET /v2/${REPOSITORY}/tags/list answered 401: user or passwordFile is missing or wrong`);
    }
    assert.doesNotMatch(JSON.stringify(berth.lines), new RegExp(`swordfish|${cluster.password}`));
  });

  test('sees a storage that hangs, which GET /v2/ does not, and sees it recover', async (t) => {
    const blind = await frontFor(t, cluster, { healthCheck: IMPATIENT });
    const berth = await frontFor(t, cluster, { healthCheck: { ...IMPATIENT, storage: storage() } });
    const [node] = cluster.nodes;
    assert.ok(node);
    const release = await hang(cluster, node);
    t.after(release);
    const { reason } = await berth.change('server down', node.name);
    assert.equal(reason, `GET /v2/${REPOSITORY}/tags/list: no answer within 1s`);

    const checks = await blind.sum('berth_server_checks_total', node.name);
    await blind.metricReaches('berth_server_checks_total', (sum) => sum >= checks + 3, node.name);
    assert.equal(await blind.sum('berth_server_up', node.name), 1);
    const v2 = node.requests().findLast(({ agent, path }) => agent === 'berth' && path === '/v2/');
    assert.equal(v2?.status, 401);

    // Two clients, of whom one would have been given the node that hangs.
    for (const address of ['127.0.0.7', '127.0.0.8']) {
      const image = await cluster.makeImage({ layers: 1, layerBytes: 100_000 });
      const door = (await cluster.connectFrom(address, await berth.port())).port;
      await cluster.push(image, `hung/${address}:1`, door);
    }
    const connections = await berth.newConnections();
    assert.deepEqual(serversOf(connections), ['s2']);
    assert.deepEqual(failed(connections), []);

    await release();
    await berth.change('server up', node.name);
  });
});

/**
 * Makes the node's storage block, as a network file system that has lost its server does, where the tag list of the
 * probe's repository is read: the registry opens that directory, and the open of a pipe that nobody writes to does not
 * return. The returned function puts an empty directory there and lets go whoever waits.
 */
async function hang({ workspace }: Cluster, { settings }: RegistryNode): Promise<() => Promise<void>> {
  const manifests = join(settings.storage, 'docker/registry/v2/repositories', REPOSITORY, '_manifests');
  const [tags, pipe] = [join(manifests, 'tags'), join(manifests, 'pipe')];
  await mkdir(manifests, { recursive: true });
  await workspace.run('mkfifo', [tags]);
  let released: Promise<void> | undefined;
  const release = async () => {
    await rename(tags, pipe);
    await mkdir(tags);
    await (await open(pipe, constants.O_RDWR)).close();
  };
  return () => (released ??= release());
}
