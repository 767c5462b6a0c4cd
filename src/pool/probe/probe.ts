import type { HealthCheckConfig } from '../../config/schema.ts';
import { formatDuration, type Endpoint } from '../../config/values.ts';
import { connectFailure } from '../failures.ts';
import type { Observation } from '../health.ts';
import { CheckFailed, get, open, type CheckedNode, type SendProxy } from './ask-node.ts';

/** What a check saw. */
export type ProbeResult = Observation & {
  /** Until when the node's certificate is valid, in seconds since 1970; missing where the check saw no certificate. */
  readonly certificateExpiry?: number;
  /** Whether this machine lacked the resources to make the check, so that the result says nothing of the node. */
  readonly notMade?: boolean;
};

/**
 * Checks the node at `endpoint`, to which `name` resolved. With `sendProxy` the check begins with a PROXY header that
 * names no client (UNKNOWN or LOCAL), because the balancer itself connects. Ends within `check.timeout`, or as soon as
 * `ended` aborts, and its result then says nothing of the node. Never rejects.
 */
export type Probe = (
  endpoint: Endpoint,
  name: string,
  check: HealthCheckConfig,
  sendProxy?: SendProxy,
  ended?: AbortSignal,
) => Promise<ProbeResult>;

export const probe: Probe = async (endpoint, name, check, sendProxy = 'none', ended) => {
  const timeout = AbortSignal.timeout(check.timeout);
  const signal = ended ? AbortSignal.any([timeout, ended]) : timeout;
  const node: CheckedNode = { endpoint, name, check, sendProxy, seen: {} };
  let step = '';
  try {
    if (check.type === 'tcp') (await open(node, signal)).destroy();
    if (check.type === 'http')
      await expectStatus(node, check.path ?? '/', check.expect ?? [{ from: 200, to: 399 }], signal);
    if (check.type === 'registry') await expectStatus(node, '/v2/', V2_STATUSES, signal);
    if (check.type === 'registry' && check.storage !== false) {
      const path = `/v2/${check.storage.repository}/tags/list`;
      step = `GET ${path}: `;
      await expectStorage(node, path, check.storage, signal);
    }
    return { ok: true, ...node.seen };
  } catch (error) {
    if (signal.aborted)
      return { ok: false, reason: `${step}no answer within ${formatDuration(check.timeout)}`, ...node.seen };
    if (error instanceof CheckFailed) return { ok: false, reason: error.message, ...node.seen };
    const { reason, text } = connectFailure(error as NodeJS.ErrnoException);
    return { ok: false, reason: text, ...(reason === 'resources' ? { notMade: true } : {}), ...node.seen };
  }
};

type Statuses = readonly { readonly from: number; readonly to: number }[];
type Storage = Exclude<HealthCheckConfig['storage'], false>;

/** A check has no login, and a registry with users replies 401 to requests without a login. */
const V2_STATUSES: Statuses = [
  { from: 200, to: 200 },
  { from: 401, to: 401 },
];

async function expectStatus(node: CheckedNode, path: string, expected: Statuses, signal: AbortSignal): Promise<void> {
  const { status } = await get(node, path, signal);
  if (!expected.some(({ from, to }) => status >= from && status <= to))
    throw new CheckFailed(`GET ${path} answered ${status}`);
}

/** A registry says NAME_UNKNOWN only after it has asked its storage, so that storage works. */
async function expectStorage(
  node: CheckedNode,
  path: string,
  { user, passwordFile }: Storage,
  signal: AbortSignal,
): Promise<void> {
  const login = user === undefined ? undefined : `${user}:${passwordFile?.content ?? ''}`;
  const authorization = login === undefined ? undefined : `Basic ${Buffer.from(login).toString('base64')}`;
  const { status, body } = await get(node, path, signal, authorization);
  if (status === 200 || (status === 404 && body.includes('NAME_UNKNOWN'))) return;
  const hint = status === 401 ? ': user or passwordFile is missing or wrong' : '';
  throw new CheckFailed(`GET ${path} answered ${status}${hint}`);
}
