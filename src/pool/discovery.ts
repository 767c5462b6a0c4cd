import { isIP } from 'node:net';
import { formatEndpoint, type Discovered, type Endpoint } from '../config/values.ts';
import { lookUp, lookUpService, type Sources } from '../names/look-up.ts';
import { lookedUp, type Failing } from './named.ts';
import { UNWANTED } from './resolve.ts';

/** `name` has this address: the name that was asked for, or a target of the service. */
export type Found = Endpoint & { readonly name: string };

export type DnsAnswer = {
  readonly endpoints: readonly Found[];
  /** For how long the answer holds. */
  readonly ttlSeconds: number;
  /** Names for which one family (IPv4 or IPv6) was answered and the other was not. */
  readonly unanswered: readonly { readonly name: string; readonly port: number; readonly family: 4 | 6 }[];
};

/** What DNS says now of the servers there are. Rejects with a NameFault, at once where `closed` is aborted. */
export type AskDns = (address: Discovered, closed?: AbortSignal) => Promise<DnsAnswer>;

/** A time to live of 0 must not become a flood of questions; nor must an answer that does not come. */
const SOONEST_MS = 1_000;
/** While a server that was found is down. */
const HURRIED_MS = 2_000;

/** Each address is a server, with its checks and its metrics: a nameserver must not make thousands of them. */
const MOST_SERVERS = 256;

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
  #failing: Failing | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hurried = false;
  readonly #closed = new AbortController();

  /** `onAnswer` is called after each answer, good or bad. */
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

  /** Why the last answer named no server. */
  get failing(): Failing | undefined {
    return this.#failing;
  }

  /** Asks now, and from then on again and again. Resolves after the first answer, good or bad. */
  async start(): Promise<void> {
    this.#hurried = false;
    const answer = await this.#ask(this.#address, this.#closed.signal).catch((error: Error) => error);
    if (this.#closed.signal.aborted) return;
    const fault = answer instanceof Error ? answer.message : faultOf(answer);
    this.#failing = lookedUp(this.#failing, fault);
    if (!(answer instanceof Error)) this.#take(answer);
    this.#onAnswer();
    const validMs = answer instanceof Error ? 0 : answer.ttlSeconds * 1_000;
    this.#askAgainIn(Math.min(this.#intervalMs, this.#hurried ? HURRIED_MS : Math.max(validMs, SOONEST_MS)));
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

  /** A server that was found does not work, and may stand elsewhere by now: the next question comes soon. */
  hurry(): void {
    if (this.#hurried) return;
    this.#hurried = true;
    if (this.#timer) this.#askAgainIn(Math.min(this.#intervalMs, HURRIED_MS));
  }

  close(): void {
    this.#closed.abort(UNWANTED);
    clearTimeout(this.#timer);
  }

  #take({ endpoints, unanswered }: DnsAnswer): void {
    if (endpoints.length === 0) return;
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
    this.#found = bounded([...present.values(), ...kept], this.#found);
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

/** As many of `all` as may be servers: those that are servers already before others, whatever the answer's order. */
function bounded(all: readonly Found[], before: readonly Found[]): readonly Found[] {
  if (all.length <= MOST_SERVERS) return all;
  const known = new Set(before.map(formatEndpoint));
  const isKnown = (one: Found): boolean => known.has(formatEndpoint(one));
  return [...all.filter(isKnown), ...all.filter((one) => !isKnown(one))].slice(0, MOST_SERVERS);
}

/** What an operator should know of an answer that came. */
function faultOf({ endpoints }: DnsAnswer): string | undefined {
  if (endpoints.length === 0) return 'none of its targets has an address';
  const { size } = new Set(endpoints.map(formatEndpoint));
  return size > MOST_SERVERS ? `it has ${size} addresses, of which ${MOST_SERVERS} are used` : undefined;
}

/** Whether this answer says nothing of the address, since its name was not answered for in its family. */
function isUnanswered({ name, host, port }: Found, unanswered: DnsAnswer['unanswered']): boolean {
  return unanswered.some((one) => one.name === name && one.port === port && one.family === isIP(host));
}

/** @see AskDns */
export async function askDns(address: Discovered, closed?: AbortSignal, sources?: Sources): Promise<DnsAnswer> {
  const targets =
    address.discover === 'dns'
      ? [{ name: address.name, port: address.port, has: await lookUp(address.name, closed, sources) }]
      : await lookUpService(address.name, closed, sources);
  return {
    endpoints: targets.flatMap(({ name, port, has }) => has.addresses.map((host) => ({ host, port, name }))),
    ttlSeconds: Math.min(Infinity, ...targets.map(({ has }) => has.ttlSeconds)),
    unanswered: targets.flatMap(({ name, port, has }) => has.unanswered.map((family) => ({ name, port, family }))),
  };
}
