import type { HealthCheckConfig } from '../../config/schema.ts';
import { formatDuration, type Route } from '../../config/values.ts';
import { connectFailure } from '../failures.ts';
import type { Observation } from '../health.ts';
import { CheckFailed, get, open, type CheckedNode, type SendProxy } from './ask-node.ts';
import type { Answer } from './exchange.ts';
import { NodeTime } from './node-time.ts';
import { askStorage, tagListOf, type StorageSeen } from './storage.ts';
import { Tokens, type TokenParts } from './tokens.ts';

/** What a check saw. */
export type ProbeResult = Observation & {
  /** Until when the node's certificate is valid, in seconds since 1970; missing where the check saw no certificate. */
  readonly certificateExpiry?: number;
  /** Whether this machine lacked the resources to make the check, so that the result says nothing of the node. */
  readonly notMade?: boolean;
  /** Missing where the check did not come to ask for the storage. */
  readonly storage?: StorageSeen;
};

/**
 * Checks the node at `endpoint`, to which `name` resolved. With `sendProxy` the check begins with a PROXY header that
 * names no client (UNKNOWN or LOCAL), because the balancer itself connects. The node has `check.timeout` for its
 * answers; a token server, where the node wants one asked, has as long again. Ends as soon as `ended` aborts, and its
 * result then says nothing of the node. Never rejects.
 */
export type Probe = (
  endpoint: Route,
  name: string,
  check: HealthCheckConfig,
  sendProxy?: SendProxy,
  ended?: AbortSignal,
) => Promise<ProbeResult>;

/** The probe of one backend: the checks of its servers share the tokens that a token server gives. */
export function newProbe(parts?: TokenParts): Probe {
  const tokens = new WeakMap<HealthCheckConfig, Tokens>();
  const tokensFor = (check: HealthCheckConfig): Tokens => {
    const known = tokens.get(check) ?? new Tokens(check, parts);
    tokens.set(check, known);
    return known;
  };
  return (endpoint, name, check, sendProxy = 'none', ended) =>
    probe({ endpoint, name, check, sendProxy, seen: {} }, () => tokensFor(check), ended);
}

async function probe(node: CheckedNode, tokens: () => Tokens, ended: AbortSignal | undefined): Promise<ProbeResult> {
  const { check, seen } = node;
  const time = new NodeTime(check.timeout, ended);
  let step = '';
  try {
    if (check.type === 'tcp') (await open(node, time.signal)).destroy();
    if (check.type === 'http')
      await expectStatus(node, check.path ?? '/', check.expect ?? [{ from: 200, to: 399 }], time.signal);
    if (check.type !== 'registry') return { ok: true, ...seen };
    const v2 = await expectStatus(node, '/v2/', V2_STATUSES, time.signal);
    if (check.storage === false) return { ok: true, ...seen };
    step = `GET ${tagListOf(check.storage)}: `;
    const storage = await askStorage(node, check.storage, v2, tokens(), time);
    return { ok: true, storage, ...seen };
  } catch (error) {
    if (time.signal.aborted)
      return { ok: false, reason: `${step}no answer within ${formatDuration(check.timeout)}`, ...seen };
    if (error instanceof CheckFailed) return { ok: false, reason: error.message, ...seen };
    const { reason, text } = connectFailure(error as NodeJS.ErrnoException);
    const notMade = reason === 'resources' || reason === 'no_port' ? { notMade: true } : {};
    return { ok: false, reason: text, ...notMade, ...seen };
  }
}

type Statuses = readonly { readonly from: number; readonly to: number }[];

/** A check has no login, and a registry with users replies 401 to requests without a login. */
const V2_STATUSES: Statuses = [
  { from: 200, to: 200 },
  { from: 401, to: 401 },
];

async function expectStatus(node: CheckedNode, path: string, expected: Statuses, signal: AbortSignal): Promise<Answer> {
  const answer = await get(node, path, signal);
  const { status } = answer;
  if (expected.some(({ from, to }) => status >= from && status <= to)) return answer;
  throw new CheckFailed(`GET ${path} answered ${status}; ${remedy(node.check, status)}`);
}

/** What to do about an answer that is not expected. */
function remedy({ type, host, tls }: HealthCheckConfig, status: number): string {
  if (status >= 500) return "the node's log says why";
  if (status >= 300 && status < 400) return 'Berth follows no redirect: set what it leads to';
  const isNamed = host !== '' || (tls !== false && tls.serverName !== undefined);
  // Not found, or misdirected: so answers what stands before several hosts where it is asked for none of them.
  if (!isNamed && (status === 404 || status === 421)) return 'if it knows its public name alone, set healthCheck.host';
  if (type === 'registry') return '200 and 401 are right: look whether a registry listens there';
  return 'set path and expect to fit what a working node answers';
}
