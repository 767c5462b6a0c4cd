/** The real thing: registry nodes with TLS, images pushed and pulled by skopeo, and what nodes and balancer need. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster, type Cluster } from '../../test/support/cluster.ts';
import type { Image } from '../../test/support/image.ts';
import { cpuSeconds, launch, type Running } from '../processes.ts';
import type { Measure, Reading } from './measure.ts';

const NODES = 3;

type Load = { name: string; images: number; layers: number; layerBytes: number };

/** Seconds of the clock and of CPUs while `act` runs. */
async function spend(cluster: Cluster, running: Running, act: () => Promise<void>) {
  const ofNodes = (): number => cluster.nodes.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  const [balancer, nodes, startedMs] = [running.cpuSeconds(), ofNodes(), performance.now()];
  await act();
  const seconds = (performance.now() - startedMs) / 1_000;
  return { seconds, balancer: running.cpuSeconds() - balancer, nodes: ofNodes() - nodes };
}

async function transfer(cluster: Cluster, running: Running, load: Load): Promise<Reading[]> {
  const { name, images, layers, layerBytes } = load;
  const found: Reading[] = [];
  const made: Image[] = [];
  for (let i = 0; i < images; i++) made.push(await cluster.makeImage({ layers, layerBytes }));
  const repository = (i: number): string => `bench/${running.label.toLowerCase().replaceAll(/\W+/g, '-')}-${i}:1`;
  for (const [what, act] of [
    [
      'push',
      async () => {
        for (const [i, image] of made.entries()) await cluster.push(image, repository(i), running.port);
      },
    ],
    [
      'pull',
      async () => {
        for (const i of made.keys()) await cluster.pull(repository(i), running.port);
      },
    ],
  ] as const) {
    const { seconds, balancer, nodes } = await spend(cluster, running, act);
    const say = (unit: string, value: number): void =>
      void found.push({ case: `${what} of ${name}`, unit, contender: running.label, value });
    say('s', seconds);
    say('CPU s of the nodes', nodes);
    if (Number.isNaN(balancer)) continue;
    say('CPU s', balancer);
    say('CPU, % of the nodes’', (balancer / nodes) * 100);
  }
  return found;
}

export const images: Measure = {
  title: 'Images, by skopeo, to registry nodes with TLS',
  async read({ contenders }, { quick, size }) {
    const loads: Load[] = [
      { name: `one image of ${quick ? '100 MB' : '1 GB'}`, images: 1, layers: 4, layerBytes: quick ? 25e6 : 250e6 },
      { name: `${quick ? 5 : 50} images of 100 KB`, images: quick ? 5 : 50, layers: 2, layerBytes: 50_000 },
    ].map((load) => ({ ...load, images: Math.max(1, Math.round(load.images * size)) }));
    const folder = mkdtempSync(join(tmpdir(), 'berth-images-'));
    const found: Reading[] = [];
    try {
      for (const contender of contenders) {
        // A cluster of its own, so that nobody finds layers that another has pushed.
        const cluster = await startCluster({
          redis: false,
          nodes: Array.from({ length: NODES }, () => ({ htpasswd: null })),
        });
        const running = await launch(
          contender,
          folder,
          cluster.nodes.map(({ port }) => port),
        );
        try {
          for (const load of loads) found.push(...(await transfer(cluster, running, load)));
        } finally {
          await running.stop();
          await cluster.close();
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    return found;
  },
};
