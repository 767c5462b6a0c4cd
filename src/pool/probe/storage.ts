import type { HealthCheckConfig } from '../../config/schema.ts';
import { CheckFailed, get, type CheckedNode } from './ask-node.ts';
import { bearerChallenge, type BearerChallenge } from './challenge.ts';
import type { Answer } from './exchange.ts';
import type { Fetched } from './fetch-token.ts';
import type { NodeTime } from './node-time.ts';
import type { Tokens } from './tokens.ts';

/**
 * Whether a check could ask a node for its storage. Where it could not, its credentials or the token server are at
 * fault, and never the node: the node is judged without. `reason` is in words for an operator.
 */
export type StorageSeen = { readonly known: true } | { readonly known: false; readonly reason: string };

/** `seen`, if a check that saw it makes known what was unknown `before`, or unknown what was known. */
export function turned(before: StorageSeen | undefined, seen: StorageSeen | undefined): StorageSeen | undefined {
  return seen && seen.known !== (before?.known ?? true) ? seen : undefined;
}

type Storage = Exclude<HealthCheckConfig['storage'], false>;

const KNOWN: StorageSeen = { known: true };

/**
 * Asks for a tag list. A registry says NAME_UNKNOWN only after it has asked its storage, so that storage works. `v2` is
 * how the node has answered at `/v2/`. Throws as `get` does, CheckFailed where the storage does not work.
 */
export async function askStorage(
  node: CheckedNode,
  storage: Storage,
  v2: Answer,
  tokens: Tokens,
  time: NodeTime,
): Promise<StorageSeen> {
  const path = tagListOf(storage);
  const ask = (authorization?: string): Promise<Answer> => get(node, path, time.signal, authorization);
  const wanted = bearerChallenge(v2.headers['www-authenticate']);
  let token: string | undefined;
  if (wanted) {
    const first = await time.standStill(tokens.get(wanted, time.ended));
    if (first.kind !== 'token') return unknown(first);
    ({ token } = first);
  }
  let answer = await ask(token === undefined ? basicOf(storage) : `Bearer ${token}`);
  const again = answer.status === 401 ? bearerChallenge(answer.headers['www-authenticate']) : undefined;
  if (again) {
    const fresh = await time.standStill(tokens.get(again, time.ended, token));
    if (fresh.kind !== 'token') return unknown(fresh);
    if (fresh.token !== token) answer = await ask(`Bearer ${fresh.token}`);
    ({ token } = fresh);
  }
  return judge(path, answer, token !== undefined, again);
}

export function tagListOf({ repository }: Storage): string {
  return `/v2/${repository}/tags/list`;
}

function basicOf({ user, passwordFile }: Storage): string | undefined {
  if (user === undefined) return undefined;
  return `Basic ${Buffer.from(`${user}:${passwordFile?.content ?? ''}`).toString('base64')}`;
}

/** Why there is no token. */
function unknown({ kind, reason }: Exclude<Fetched, { kind: 'token' }>): StorageSeen {
  return { known: false, reason: kind === 'refused' ? `${reason}: user or passwordFile is missing or wrong` : reason };
}

function judge(path: string, { status, body }: Answer, withToken: boolean, again?: BearerChallenge): StorageSeen {
  if (status === 200 || (status === 404 && body.includes('NAME_UNKNOWN'))) return KNOWN;
  if (!NOT_THE_STORAGES.includes(status)) throw new CheckFailed(`GET ${path} answered ${status}; ${remedy(status)}`);
  return { known: false, reason: `GET ${path} answered ${status}: ${whyRefused(status, withToken, again)}` };
}

/** Who is not let in (401), may not see this repository (403) or asks too often (429) has not reached the storage. */
const NOT_THE_STORAGES: readonly number[] = [401, 403, 429];

const REFUSED =
  "the node refuses the token; compare the node's auth.token (issuer, service, keys) and clock with those of the " +
  'token server';

function remedy(status: number): string {
  if (status >= 500) return "the node's log says why";
  return '200 and 404 with NAME_UNKNOWN are right: name another repository, or look what listens there';
}

function whyRefused(status: number, withToken: boolean, again: BearerChallenge | undefined): string {
  if (status === 429) return 'the node lets nobody ask as often as that; set a longer interval';
  if (status === 403 || again?.error === 'insufficient_scope')
    return 'the user may not pull from this repository; give user the right to, or name another repository';
  if (withToken) return REFUSED;
  return 'user or passwordFile is missing or wrong';
}
