import { createSecureContext, type SecureContext } from 'node:tls';
import { systemAuthorities } from '../pool/probe/authorities.ts';
import type { BearerChallenge } from '../pool/probe/challenge.ts';
import { fetchToken, type Fetched } from '../pool/probe/fetch-token.ts';
import { systemLookup } from '../pool/resolve.ts';
import type { Credentials, TokenSource } from './node.ts';

/** A token server has as long for its answer as a node. */
const TOKEN_MS = 5_000;
/** A token is shown for this share of its life; an audit with patience may take longer than a token lives. */
const USED_SHARE = 0.8;
/** A push needs the first two; an upload that is given up, and a blob, are deleted. */
const ACTIONS = 'pull,push,delete';
/** Quay knows no `delete`, and answers 400. */
const FEWER_ACTIONS = 'pull,push';

type Kept = { readonly fetched: Promise<Fetched>; goodUntilMs: number };

/** The tokens of one audit: one for each repository and realm, which every node is shown. */
export class AuditTokens implements TokenSource {
  readonly #authorities: string;
  readonly #credentials: Credentials | undefined;
  /** The repository that the token of questions about no repository is for. */
  readonly #repository: string;
  readonly #kept = new Map<string, Kept>();
  readonly #given = new Set<string>();
  #trust: SecureContext | undefined;

  /** `authorities`: PEM of those that sign token servers, besides those of the system. */
  constructor(authorities: string, credentials: Credentials | undefined, repository: string) {
    this.#authorities = authorities;
    this.#credentials = credentials;
    this.#repository = repository;
  }

  get given(): readonly string[] {
    return [...this.#given];
  }

  /** Ends within twice TOKEN_MS. */
  get({ realm, service }: BearerChallenge, path: string): Promise<Fetched> {
    const repository = /^\/v2\/(.+)\/(?:tags|blobs|manifests)\//.exec(path)?.[1] ?? this.#repository;
    const key = JSON.stringify([realm, service, repository]);
    const known = this.#kept.get(key);
    if (known && performance.now() < known.goodUntilMs) return known.fetched;
    const kept: Kept = { fetched: this.#fetch(realm, service, repository), goodUntilMs: Infinity };
    this.#kept.set(key, kept);
    void this.#remember(kept, performance.now());
    return kept.fetched;
  }

  async #fetch(realm: string, service: string | undefined, repository: string): Promise<Fetched> {
    const ask = (actions: string): Promise<Fetched> =>
      fetchToken(
        { realm, service, scope: `repository:${repository}:${actions}`, credentials: this.#credentials },
        { lookup: systemLookup, agent: 'berth-doctor', trust: () => this.#trusted() },
        AbortSignal.timeout(TOKEN_MS),
      );
    const fetched = await ask(ACTIONS);
    return fetched.kind === 'failed' && fetched.status === 400 ? ask(FEWER_ACTIONS) : fetched;
  }

  async #remember(kept: Kept, askedMs: number): Promise<void> {
    const fetched = await kept.fetched;
    if (fetched.kind !== 'token') return;
    this.#given.add(fetched.token);
    kept.goodUntilMs = askedMs + fetched.lifeMs * USED_SHARE;
  }

  #trusted(): SecureContext {
    return (this.#trust ??= createSecureContext({ ca: [systemAuthorities(), this.#authorities] }));
  }
}
