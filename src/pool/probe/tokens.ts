import { createSecureContext, type SecureContext } from 'node:tls';
import type { HealthCheckConfig } from '../../config/schema.ts';
import { systemLookup, UNWANTED, type Lookup } from '../resolve.ts';
import { systemAuthorities } from './authorities.ts';
import type { BearerChallenge } from './challenge.ts';
import { fetchToken, type Fetched, type TokenOrder } from './fetch-token.ts';

/** Most realms that tokens are kept of: nodes of one backend agree, and a hostile node names a new one each time. */
const MOST_REALMS = 8;
/** After a failure, and after a node has refused a token, the token server is not asked sooner than this again. */
const RETRY_MS = 10_000;
/** A token is used for this share of its life: the node's clock may be ahead, and the node reads the token later. */
const USED_SHARE = 0.9;
/** However long a token lives, the credentials are tried again after this. */
const LONGEST_USE_MS = 60 * 60_000;

/** What a test puts in the place of the clock and of DNS. */
export type TokenParts = {
  readonly lookup?: Lookup;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
};

type Kept = { readonly fetching: Fetching; readonly atMs: number; fetched?: Fetched; goodUntilMs: number };

/** The tokens of one storage check, shared by all servers of its backend, each kept for its life. */
export class Tokens {
  readonly #check: HealthCheckConfig;
  readonly #lookup: Lookup;
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept>();
  #trust: SecureContext | undefined;

  constructor(check: HealthCheckConfig, { lookup = systemLookup, now = () => performance.now() }: TokenParts = {}) {
    this.#check = check;
    this.#lookup = lookup;
    this.#now = now;
  }

  /**
   * A token for the challenge: one that is kept, unless it is `refused`, or one that is asked for now, once for all who
   * wait. Ends within the check's timeout, or as soon as `ended` aborts, and never rejects.
   */
  async get(challenge: BearerChallenge, ended?: AbortSignal, refused?: string): Promise<Fetched> {
    const { storage } = this.#check;
    if (storage === false) throw new TypeError('a check that does not ask the storage needs no token');
    const { user, passwordFile, repository } = storage;
    const { realm, service } = challenge;
    const credentials = user === undefined ? undefined : { user, password: passwordFile?.content ?? '' };
    const key = JSON.stringify([realm, service]);
    let kept = this.#kept.get(key);
    if (!kept || this.#isStale(kept, refused)) {
      kept = this.#fetch(key, { realm, service, scope: `repository:${repository}:pull`, credentials });
    }
    return kept.fetching.join(ended);
  }

  #isStale(kept: Kept, refused: string | undefined): boolean {
    const { fetched, atMs, goodUntilMs } = kept;
    if (!fetched) return kept.fetching.isUnwanted;
    if (this.#now() >= goodUntilMs) return true;
    return fetched.kind === 'token' && fetched.token === refused && this.#now() >= atMs + RETRY_MS;
  }

  #fetch(key: string, order: TokenOrder): Kept {
    const route = { lookup: this.#lookup, agent: 'berth', trust: () => this.#authorities() } as const;
    const atMs = this.#now();
    const fetching = new Fetching((signal) => fetchToken(order, route, signal), this.#check.timeout);
    const kept: Kept = { fetching, atMs, goodUntilMs: Infinity };
    void this.#keep(kept);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_REALMS) break;
      this.#kept.delete(oldest);
    }
    return kept;
  }

  async #keep(kept: Kept): Promise<void> {
    const fetched = await kept.fetching.done;
    // Nobody waited any more, so the answer was cut short and says nothing.
    if (kept.fetching.isUnwanted) return;
    kept.fetched = fetched;
    const useMs = fetched.kind === 'token' ? Math.min(fetched.lifeMs * USED_SHARE, LONGEST_USE_MS) : RETRY_MS;
    kept.goodUntilMs = kept.atMs + useMs;
  }

  /** Made once: to read the authorities of a system takes some milliseconds. */
  #authorities(): SecureContext {
    const { tls } = this.#check;
    const own = tls === false ? undefined : tls.ca?.content;
    return (this.#trust ??= createSecureContext({ ca: [systemAuthorities(), ...(own === undefined ? [] : [own])] }));
  }
}

/** A question to a token server that several checks wait for. It ends with the last that waits, or after `withinMs`. */
class Fetching {
  readonly done: Promise<Fetched>;
  readonly #unwanted = new AbortController();
  #waiting = 0;

  constructor(fetch: (signal: AbortSignal) => Promise<Fetched>, withinMs: number) {
    this.done = fetch(AbortSignal.any([AbortSignal.timeout(withinMs), this.#unwanted.signal]));
  }

  get isUnwanted(): boolean {
    return this.#unwanted.signal.aborted;
  }

  async join(ended: AbortSignal | undefined): Promise<Fetched> {
    this.#waiting++;
    let leave = (): void => {};
    const left = new Promise<Fetched>((resolve) => {
      leave = () => resolve({ kind: 'failed', reason: 'the check has ended' });
    });
    ended?.addEventListener('abort', leave, { once: true });
    if (ended?.aborted) leave();
    try {
      return await Promise.race([this.done, left]);
    } finally {
      ended?.removeEventListener('abort', leave);
      if (--this.#waiting === 0) this.#unwanted.abort(UNWANTED);
    }
  }
}
