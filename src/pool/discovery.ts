import { Resolver } from 'node:dns/promises';
import type { Discovered, Endpoint } from '../config/values.ts';

/** What DNS says now: the servers, and for how many seconds that holds. Rejects with a `code`. */
export type AskDns = (address: Discovered) => Promise<{ endpoints: readonly Endpoint[]; ttlSeconds: number }>;

/** A time to live of 0 must not become a flood of questions; nor must an answer that does not come. */
const SOONEST_MS = 1_000;
const ANSWER_MS = 5_000;

/** DNS says that the name does not exist, or has no address of this kind. */
const NO_ADDRESS: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);

/** Keeps asking DNS which servers there are. An empty or failed answer keeps the last good one. */
export class Discovery {
  readonly intervalMs: number;
  readonly #address: Discovered;
  readonly #onAnswer: (endpoints: readonly Endpoint[]) => void;
  readonly #ask: AskDns;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    address: Discovered,
    intervalMs: number,
    onAnswer: (endpoints: readonly Endpoint[]) => void,
    ask: AskDns = askDns,
  ) {
    this.#address = address;
    this.intervalMs = intervalMs;
    this.#onAnswer = onAnswer;
    this.#ask = ask;
  }

  /** Resolves after the first answer, good or bad. */
  async start(): Promise<void> {
    const { endpoints, ttlSeconds } = await this.#ask(this.#address).catch(() => ({ endpoints: [], ttlSeconds: 0 }));
    if (this.#closed) return;
    if (endpoints.length > 0) this.#onAnswer(endpoints);
    const wait = Math.min(this.intervalMs, Math.max(ttlSeconds * 1_000, SOONEST_MS));
    this.#timer = setTimeout(() => void this.start(), wait);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

export async function askDns(address: Discovered): Promise<{ endpoints: Endpoint[]; ttlSeconds: number }> {
  const resolver = new Resolver({ timeout: ANSWER_MS / 2, tries: 2 });
  if (address.discover === 'dns') {
    const { hosts, ttlSeconds } = await addresses(resolver, address.name);
    return { endpoints: hosts.map((host) => ({ host, port: address.port })), ttlSeconds };
  }
  const services = await resolver.resolveSrv(address.name);
  const found = await Promise.all(
    services.map(async ({ name, port }) => {
      // One target without an address must not keep the others away; one that could not be asked for may have some.
      const { hosts, ttlSeconds } = await addresses(resolver, name).catch((error: NodeJS.ErrnoException) => {
        if (NO_ADDRESS.has(error.code)) return { hosts: [], ttlSeconds: Infinity };
        throw error;
      });
      return { endpoints: hosts.map((host) => ({ host, port })), ttlSeconds };
    }),
  );
  return {
    endpoints: found.flatMap(({ endpoints }) => endpoints),
    ttlSeconds: Math.min(Infinity, ...found.map(({ ttlSeconds }) => ttlSeconds)),
  };
}

/** IPv4 and IPv6; rejects only where neither is there. */
async function addresses(resolver: Resolver, name: string): Promise<{ hosts: string[]; ttlSeconds: number }> {
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  if (four.status === 'rejected' && six.status === 'rejected') {
    const [fault, other] = [four.reason, six.reason] as NodeJS.ErrnoException[];
    throw NO_ADDRESS.has(fault?.code) ? other : fault;
  }
  const records = [four, six].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  return {
    hosts: records.map(({ address }) => address),
    ttlSeconds: Math.min(Infinity, ...records.map(({ ttl }) => ttl)),
  };
}
