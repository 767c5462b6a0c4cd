/** What a balancer takes that has nothing to do: CPU, wake-ups, memory, and memory for each idle connection. */
import { setTimeout as sleep } from 'node:timers/promises';
import { mostConnections } from '../limits.ts';
import type { Measure, Reading } from './measure.ts';

const CONNECTIONS = [1_000, 5_000, 15_000];

export const idle: Measure = {
  title: 'Nothing to do',
  async read(stage, { quick, size }) {
    const found: Reading[] = [];
    const balancers = stage.running.filter((balancer) => !Number.isNaN(balancer.cpuSeconds()));
    const say = (name: string, unit: string, contender: string, value: number): void =>
      void found.push({ case: name, unit, contender, value });

    // Node gives memory back that the start took when it has had nothing to do for half a minute.
    const seconds = quick ? 3 : 45;
    const before = balancers.map((balancer) => [balancer.cpuSeconds(), balancer.wakeUps()] as const);
    await sleep(seconds * 1_000);
    for (const [index, balancer] of balancers.entries()) {
      const [cpu = 0, wakeUps = 0] = before[index] ?? [];
      say('no client', '% of a core', balancer.label, ((balancer.cpuSeconds() - cpu) / seconds) * 100);
      say('no client', 'wake-ups/s', balancer.label, (balancer.wakeUps() - wakeUps) / seconds);
      say('no client', 'MB', balancer.label, balancer.residentBytes() / 1e6);
    }
    const most = mostConnections();
    for (const count of CONNECTIONS.map((each) => Math.round(each * size)).filter((each) => each <= most)) {
      if (quick && count > 1_000 * size) continue;
      for (const balancer of balancers) {
        const empty = balancer.residentBytes();
        await stage.beside({ kind: 'stay', port: balancer.port, clients: count, bytesEach: 1_000 });
        await sleep(quick ? 1_000 : 3_000);
        const each = (balancer.residentBytes() - empty) / count / 1_000;
        say(`${count} idle connections`, 'KB each', balancer.label, each);
        await stage.beside({ kind: 'leave' });
        await sleep(500);
      }
    }
    return found;
  },
};
