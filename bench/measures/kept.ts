/** Requests on connections that are kept: CPU of each, and how long it takes, alone and beside bulk transfer. */
import type { Job } from '../protocol.ts';
import type { Running } from '../processes.ts';
import type { Stage } from '../stage.ts';
import { LATENCIES, readings, type Measure } from './measure.ts';

const MIB = 1 << 20;

const converse = ({ port }: Running, connections: number, requestsPerConnection: number): Job => ({
  kind: 'kept',
  port,
  connections,
  requestsPerConnection,
});

/** Four flows of bulk for as long as `act` takes. */
async function besideBulk<T>(stage: Stage, { port }: Running, act: () => Promise<T>): Promise<T> {
  const acts = new AbortController();
  const flowing = (async () => {
    while (!acts.signal.aborted) await stage.beside({ kind: 'download', port, flows: 4, bytesPerFlow: 32 * MIB });
  })();
  try {
    return await act();
  } finally {
    acts.abort();
    await flowing;
  }
}

export const kept: Measure = {
  title: 'Requests on kept connections',
  async read(stage, { quick, size }) {
    const connections = Math.max(1, Math.round(16 * size));
    const requests = quick ? 500 : 2_000;
    for (const balancer of stage.running) await stage.perform(converse(balancer, connections, quick ? 500 : 3_000));
    const alone = await stage.inTurns(quick ? 2 : 4, (balancer) =>
      stage.spend(balancer, converse(balancer, connections, requests)),
    );
    // The CPU of the bulk transfer cannot be told from that of the requests.
    const beside = await stage.inTurns(1, (balancer) =>
      besideBulk(stage, balancer, () => stage.spend(balancer, converse(balancer, connections, requests / 4))),
    );
    const cpu = {
      'CPU µs each': ({ cpu: seconds, tally }: { cpu: number; tally: { requests: number } }) =>
        (seconds * 1e6) / tally.requests,
    };
    return [
      ...readings(`${connections} connections`, alone, { ...cpu, ...LATENCIES }),
      ...readings(`${connections} connections beside 4 bulk flows`, beside, LATENCIES),
    ];
  },
};
