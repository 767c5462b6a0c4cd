import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Config } from '../config/schema.ts';
import type { Endpoint } from '../config/values.ts';
import type { Probe, ProbeResult } from './probe/probe.ts';
import { probed, type ServerTerms } from './terms.ts';

/** Undefined leaves the choice to the kernel, which has a port for each server and not only for all together. */
type Source = string | undefined;
const KERNELS_CHOICE: readonly Source[] = [undefined];

/** The addresses of this machine from which one server is connected to, in turn. */
export class Sources {
  #next = 0;

  /**
   * The sources that one connect to `host` may use, in order: those of the host's family, beginning with another one
   * each time.
   */
  inTurn(sources: readonly string[], host: string): readonly Source[] {
    if (sources.length === 0) return KERNELS_CHOICE;
    const family = isIP(host);
    const fitting = sources.filter((source) => isIP(source) === family);
    if (fitting.length === 0) return KERNELS_CHOICE;
    const first = this.#next++ % fitting.length;
    return [...fitting.slice(first), ...fitting.slice(0, first)];
  }
}

const NOT_MADE: ProbeResult = { ok: false, reason: '', notMade: true };

/** One check of a server: from the first of its sources from which the check can be made. */
export async function checkFrom(
  sources: Sources,
  probe: Probe,
  endpoint: Endpoint,
  terms: ServerTerms,
  signal: AbortSignal,
): Promise<ProbeResult> {
  let result = NOT_MADE;
  const { healthCheck, source } = terms;
  if (healthCheck === false) return result;
  for (const localAddress of sources.inTurn(source, endpoint.host)) {
    const route = localAddress === undefined ? endpoint : { ...endpoint, localAddress };
    result = await probe(...probed(terms, healthCheck, route), signal);
    if (result.notMade !== true || signal.aborted) break;
  }
  return result;
}

/**
 * The sources that no interface has now. No error: another balancer of a pair may hold such an address at the moment,
 * and where the kernel takes a whole network for its own no interface shows it.
 */
export function missingSources({ backends }: Config): { backend: string; source: string }[] {
  const own = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
  return Object.entries(backends).flatMap(([backend, { source: sources }]) =>
    sources
      .filter((source) => !own.includes(source.replace(/%.*/, '')) && !source.startsWith('127.'))
      .map((source) => ({ backend, source })),
  );
}
