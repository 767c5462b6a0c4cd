import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { formatEndpoint, type Discovered, type Endpoint } from '../config/values.ts';

/** `name` has this address: the name that was asked for, or a target of the service. */
export type Found = Endpoint & { readonly name: string };

export type DnsAnswer = {
  readonly endpoints: readonly Found[];
  /** For how long the answer holds. */
  readonly ttlSeconds: number;
  /** Names for which one family (IPv4 or IPv6) was answered and the other was not. */
  readonly unanswered: readonly { readonly name: string; readonly port: number; readonly family: 4 | 6 }[];
};

/** What DNS says now of the servers there are. Rejects with a `code`, at once where `closed` is aborted. */
export type AskDns = (address: Discovered, closed?: AbortSignal) => Promise<DnsAnswer>;

/** A time to live of 0 must not become a flood of questions; nor must an answer that does not come. */
const SOONEST_MS = 1_000;
const ANSWER_MS = 5_000;

/** DNS says that the name does not exist, or has no address of this kind. */
const NO_ADDRESS: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * What a discovery may be given: who answers instead of DNS, and what an earlier discovery for the same question had
 * found.
 */
export type DiscoveryParts = { readonly ask?: AskDns | undefined; readonly found?: readonly Found[] | undefined };

/**
 * Keeps asking DNS which servers there are. An empty or failed answer keeps what was found before, a failed family
 * keeps that family's part of it. An address that two good answers in a row lack is dropped: a resolver that hands out
 * its addresses a few at a time, or a name server that is a moment behind, costs no server its place.
 */
export class Discovery {
  readonly #address: Discovered;
  readonly #onAnswer: () => void;
  readonly #ask: AskDns;
  #intervalMs: number;
  #found: readonly Found[];
  /** The addresses in `#found` that the last good answer lacked. */
  #lacked: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  readonly #closed = new AbortController();

  /** `onAnswer` is called after each answer that has an address. */
  constructor(
    address: Discovered,
    intervalMs: number,
    onAnswer: () => void,
    { ask = askDns, found = [] }: DiscoveryParts = {},
  ) {
    this.#address = address;
    this.#intervalMs = intervalMs;
    this.#onAnswer = onAnswer;
    this.#ask = ask;
    this.#found = found;
  }

  /** The servers there are, each address once. */
  get found(): readonly Found[] {
    return this.#found;
  }

  /** Asks now, and from then on again and again. Resolves after the first answer, good or bad. */
  async start(): Promise<void> {
    const none: DnsAnswer = { endpoints: [], ttlSeconds: 0, unanswered: [] };
    const answer = await this.#ask(this.#address, this.#closed.signal).catch(() => none);
    if (this.#closed.signal.aborted) return;
    if (answer.endpoints.length > 0) {
      this.#take(answer);
      this.#onAnswer();
    }
    this.#askAgainIn(Math.min(this.#intervalMs, Math.max(answer.ttlSeconds * 1_000, SOONEST_MS)));
  }

  /**
   * Another time between two questions; what was found stays. The next question never comes later than it would have.
   */
  retime(intervalMs: number): void {
    const sooner = intervalMs < this.#intervalMs;
    this.#intervalMs = intervalMs;
    // Without a timer a question is under way, and the one after it keeps to the new interval.
    if (sooner && this.#timer) this.#askAgainIn(intervalMs);
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  #take({ endpoints, unanswered }: DnsAnswer): void {
    const present = new Map(endpoints.map((one) => [formatEndpoint(one), one]));
    const missing = this.#found.filter((one) => !present.has(formatEndpoint(one)));
    const lacked = new Set<string>();
    const kept = missing.filter((one) => {
      const key = formatEndpoint(one);
      if (isUnanswered(one, unanswered)) {
        if (this.#lacked.has(key)) lacked.add(key);
        return true;
      }
      lacked.add(key);
      return !this.#lacked.has(key);
    });
    this.#found = [...present.values(), ...kept];
    this.#lacked = lacked;
  }

  #askAgainIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.start();
    }, ms);
  }
}

/** Whether this answer says nothing of the address, since its name was not answered for in its family. */
function isUnanswered({ name, host, port }: Found, unanswered: DnsAnswer['unanswered']): boolean {
  return unanswered.some((one) => one.name === name && one.port === port && one.family === isIP(host));
}

/** @see AskDns */
export async function askDns(address: Discovered, closed?: AbortSignal): Promise<DnsAnswer> {
  const resolver = new Resolver({ timeout: ANSWER_MS / 2, tries: 2 });
  const cancel = (): void => resolver.cancel();
  closed?.addEventListener('abort', cancel, { once: true });
  try {
    return address.discover === 'dns'
      ? await addresses(resolver, address.name, address.port)
      : await targets(resolver, address.name);
  } finally {
    closed?.removeEventListener('abort', cancel);
  }
}

/** The addresses of a service's targets. */
async function targets(resolver: Resolver, service: string): Promise<DnsAnswer> {
  const services = await resolver.resolveSrv(service);
  const found = await Promise.all(
    services.map(({ name, port }) =>
      // A target without an address must not keep the others away; a target that could not be asked for may have some.
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

/** The IPv4 and IPv6 addresses of a name; rejects only if neither family is answered. */
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
