import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Discovered, Endpoint } from '../config/values.ts';

/** `name` is the one that has this address: the name that was asked for, or a target of the service. */
export type Found = Endpoint & { readonly name: string };

export type DnsAnswer = {
  readonly endpoints: readonly Found[];
  /** For how long that holds. */
  readonly ttlSeconds: number;
  /** Names that were not answered for in one of the families, while they were in the other. */
  readonly unanswered: readonly { readonly name: string; readonly port: number; readonly family: 4 | 6 }[];
};

/** What DNS says now of the servers there are. Rejects with a `code`. */
export type AskDns = (address: Discovered) => Promise<DnsAnswer>;

/** A time to live of 0 must not become a flood of questions; nor must an answer that does not come. */
const SOONEST_MS = 1_000;
const ANSWER_MS = 5_000;

/** DNS says that the name does not exist, or has no address of this kind. */
const NO_ADDRESS: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Keeps asking DNS which servers there are. An empty or failed answer keeps the last good one; one that failed for a family
 * keeps that family's part of it.
 */
export class Discovery {
  readonly intervalMs: number;
  readonly #address: Discovered;
  readonly #onAnswer: (endpoints: readonly Found[]) => void;
  readonly #ask: AskDns;
  #last: readonly Found[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    address: Discovered,
    intervalMs: number,
    onAnswer: (endpoints: readonly Found[]) => void,
    ask: AskDns = askDns,
  ) {
    this.#address = address;
    this.intervalMs = intervalMs;
    this.#onAnswer = onAnswer;
    this.#ask = ask;
  }

  /** Resolves after the first answer, good or bad. */
  async start(): Promise<void> {
    const none: DnsAnswer = { endpoints: [], ttlSeconds: 0, unanswered: [] };
    const { endpoints, ttlSeconds, unanswered } = await this.#ask(this.#address).catch(() => none);
    if (this.#closed) return;
    if (endpoints.length > 0) {
      const kept = this.#last.filter(({ name, host, port }) =>
        unanswered.some((one) => one.name === name && one.port === port && one.family === isIP(host)),
      );
      this.#last = [...endpoints, ...kept];
      this.#onAnswer(this.#last);
    }
    const wait = Math.min(this.intervalMs, Math.max(ttlSeconds * 1_000, SOONEST_MS));
    this.#timer = setTimeout(() => void this.start(), wait);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

export async function askDns(address: Discovered): Promise<DnsAnswer> {
  const resolver = new Resolver({ timeout: ANSWER_MS / 2, tries: 2 });
  if (address.discover === 'dns') return addresses(resolver, address.name, address.port);
  const services = await resolver.resolveSrv(address.name);
  const found = await Promise.all(
    services.map(({ name, port }) =>
      // One target without an address must not keep the others away; one that could not be asked for may have some.
      addresses(resolver, name, port).catch((error: NodeJS.ErrnoException): DnsAnswer => {
        if (NO_ADDRESS.has(error.code)) return { endpoints: [], ttlSeconds: Infinity, unanswered: [] };
        throw error;
      }),
    ),
  );
  return {
    endpoints: found.flatMap(({ endpoints }) => endpoints),
    ttlSeconds: Math.min(Infinity, ...found.map(({ ttlSeconds }) => ttlSeconds)),
    unanswered: found.flatMap(({ unanswered }) => unanswered),
  };
}

/** IPv4 and IPv6; rejects only where neither is there. */
async function addresses(resolver: Resolver, name: string, port: number): Promise<DnsAnswer> {
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  if (four.status === 'rejected' && six.status === 'rejected') {
    const [fault, other] = [four.reason, six.reason] as NodeJS.ErrnoException[];
    throw NO_ADDRESS.has(fault?.code) ? other : fault;
  }
  const records = [four, six].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const failed = (answer: PromiseSettledResult<unknown>): boolean =>
    answer.status === 'rejected' && !NO_ADDRESS.has((answer.reason as NodeJS.ErrnoException).code);
  return {
    endpoints: records.map(({ address: host }) => ({ host, port, name })),
    ttlSeconds: Math.min(Infinity, ...records.map(({ ttl }) => ttl)),
    unanswered: [
      ...(failed(four) ? [{ name, port, family: 4 as const }] : []),
      ...(failed(six) ? [{ name, port, family: 6 as const }] : []),
    ],
  };
}
