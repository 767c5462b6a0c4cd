import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { noFuse, noNamespaces } from '../support/able.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { differences } from '../support/image.ts';
import { startMooseFs, type MooseFs } from '../support/moosefs.ts';
import type { RegistryNode } from '../support/node.ts';
import { openWorkspace, type Workspace } from '../support/processes.ts';
import { failed, frontFor, serversOf } from '../support/registry-berth.ts';

const cannot = noNamespaces('mount', 'net') || noFuse();
const ifPossible = { skip: cannot };

/** Longer than the doctor waits for a storage that lags. */
const CACHING = ['attr', 'entry', 'direntry', 'negentry'].map((what) => `mfs${what}cacheto=10`);

suite('registry nodes on MooseFS', { timeout: 180_000 }, () => {
  let workspace: Workspace | undefined;
  let moosefs: MooseFs;
  let cluster: Cluster;
  before(async () => {
    if (cannot) return;
    workspace = openWorkspace();
    moosefs = await startMooseFs(workspace);
    cluster = await startCluster({ workspace, names: ['registry.test', '127.0.0.1'], nodes: 0 });
  });
  after(() => workspace?.close());

  /** Two nodes, each with a mount of its own, and in MooseFS a folder that is theirs and empty. */
  async function twoNodes(folder: string, options: readonly string[] = []): Promise<RegistryNode[]> {
    const nodes: RegistryNode[] = [];
    for (const _ of [1, 2]) {
      const { dir, through } = await moosefs.mount(options);
      nodes.push(await cluster.addNode({ storage: join(dir, folder), through }));
    }
    return nodes;
  }
  const diagnose = (nodes: readonly RegistryNode[], ...args: string[]) =>
    doctor(cluster, { servers: nodes.map(({ endpoint }) => endpoint), args });
  /**
   * One layer: with one request after the other, without stickiness it is one node that looks for it and the other that
   * begins it.
   */
  async function pushAnew(repository: string, port: number): Promise<void> {
    await cluster.push(await cluster.makeImage({ layers: 1, layerBytes: 300_000 }), `${repository}:1`, port);
  }

  suite('that caches as it does by default', () => {
    let nodes: RegistryNode[];
    before(async () => {
      if (!cannot) nodes = await twoNodes('default');
    });

    test('the doctor finds nothing, in an empty storage and in one that is in use', ifPossible, async () => {
      for (const args of [[], ['--write']]) {
        const { code, lines, out } = await diagnose(nodes, ...args);
        assert.deepEqual([code, lines], [0, []], out);
      }
    });

    test(
      'an image pushed through one node and its mount comes back byte for byte through the other',
      ifPossible,
      async (t) => {
        const berth = await frontFor(t, cluster, { nodes });
        const [writer, reader] = await Promise.all(
          ['127.0.0.2', '127.0.0.3'].map(async (address) => cluster.connectFrom(address, await berth.port())),
        );
        const image = await cluster.makeImage({ layers: 3, layerBytes: 4_000_000 });
        await cluster.push(image, 'moose/image:1', writer!.port);
        const [wrote] = serversOf(await berth.newConnections());
        const pulled = await cluster.pull('moose/image:1', reader!.port);
        assert.deepEqual(await differences(image, pulled.dir), []);
        const reading = await berth.newConnections();
        assert.deepEqual(failed(reading), []);
        assert.deepEqual(new Set([wrote, ...serversOf(reading)]).size, 2, 'one node did both');
      },
    );

    test('pushes succeed without stickiness, too', ifPossible, async (t) => {
      const berth = await frontFor(t, cluster, { nodes, backend: { stickTable: false } });
      for (const i of [1, 2, 3]) await pushAnew(`unsticky-${i}`, await berth.port());
      assert.equal(serversOf(await berth.newConnections()).length, 2);
    });
  });

  suite('mounted with long attribute and entry caches', () => {
    let nodes: RegistryNode[];
    before(async () => {
      if (!cannot) nodes = await twoNodes('caching', CACHING);
    });

    test('the doctor finds that it lags, and nothing else, though nothing was ever pushed', ifPossible, async () => {
      const { code, lines, findings, out } = await diagnose(nodes);
      assert.equal(code, 1);
      assert.deepEqual(new Set(findings.map((finding) => finding.code)), new Set(['STORAGE_LAG']), out);
      for (const pair of ['s1 → s2', 's2 → s1']) assert.ok(lines.includes(`FAIL STORAGE_LAG ${pair}`), out);

      const options = /\(MooseFS: ([\w=,]+);/.exec(findings[0]!.mend)?.[1];
      assert.ok(options, findings[0]!.mend);
      const mended = await diagnose(await twoNodes('mended', [options]));
      assert.deepEqual([mended.code, mended.lines], [0, []], 'mounted as the remedy says');
    });

    test('sticky pushes through either node succeed', ifPossible, async (t) => {
      const berth = await frontFor(t, cluster, { nodes });
      for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) {
        await pushAnew(`sticky-from-${address}`, (await cluster.connectFrom(address, await berth.port())).port);
      }
      assert.equal(serversOf(await berth.newConnections()).length, 2);
    });

    test('every push without stickiness fails', ifPossible, async (t) => {
      const berth = await frontFor(t, cluster, { nodes, backend: { stickTable: false } });
      for (const i of [1, 2, 3]) {
        await assert.rejects(
          pushAnew(`unsticky-caching-${i}`, await berth.port()),
          // A node that answers early and closes resets a client that is still sending the blob.
          /blob upload unknown|500 Internal Server Error|connection reset by peer|broken pipe/,
        );
      }
    });
  });
});
