/** New connections: at the limit, one client at a time, a hundred a second, and the first after a start. */
import type { Job } from '../protocol.ts';
import type { Running } from '../processes.ts';
import type { Spent } from '../stage.ts';
import { LATENCIES, readings, type Measure, type Reading } from './measure.ts';

const FIRST = 500;

const UNITS: Readonly<Record<string, (spent: Spent) => number>> = {
  'CPU µs each': ({ cpu, tally }) => (cpu * 1e6) / tally.connections,
  ...LATENCIES,
};

type Way = Omit<Extract<Job, { kind: 'new' }>, 'kind' | 'port'>;
const visit = ({ port }: Running, way: Way): Job => ({ kind: 'new', port, ...way });

export const fresh: Measure = {
  title: 'New connections',
  async read(stage, { quick, size }) {
    const found: Reading[] = [];
    const compare = async (name: string, turns: number, way: Way): Promise<void> => {
      const spent = await stage.inTurns(turns, (balancer) => stage.spend(balancer, visit(balancer, way)));
      found.push(...readings(name, spent, UNITS));
    };
    // Before anything else, as the processes are fresh.
    await compare(`the first ${FIRST} after a start`, 1, { parallel: 1, sources: 64, visits: FIRST });

    const many = { parallel: 16, sources: 64, visits: quick ? 100 : 500 };
    for (const balancer of stage.running) await stage.perform(visit(balancer, many));
    for (const count of [1, 64]) {
      const parallel = Math.max(1, Math.round(count * size));
      const visits = Math.ceil((quick ? 640 : 2_560) / parallel);
      await compare(`saturated, ${parallel} at once`, quick ? 1 : 4, { parallel, sources: 64, visits });
    }
    const visits = quick ? 200 : 1_000;
    await compare('one lone client, 5 ms apart', 1, { parallel: 1, sources: 1, visits, everyMs: 5 });
    await compare('100 a second from 200 clients', 1, { parallel: 1, sources: 200, visits, everyMs: 10 });
    return found;
  },
};
