import { formatEndpoint, type Endpoint } from '../config/values.ts';
import { askInClear, type Heard, type Silence } from './ask.ts';
import { disagreement, finding, type Finding } from './findings.ts';
import { quoted, type Audience } from './node.ts';

/** What the debug address of a node says; a registry speaks plain HTTP there and asks for no password. */
export type DebugSeen = {
  readonly endpoint: Endpoint;
  readonly health: Heard;
  /** undefined where /debug/vars is missing, or is the page of another kind of registry. */
  readonly redis: RedisSeen | undefined;
};
/** `address` is empty where the node has no Redis. Of the password only its presence is kept. */
export type RedisSeen = {
  readonly address: string;
  readonly db: number;
  readonly readTimeout: boolean;
  readonly showsPassword: boolean;
};

/** Ends within STEP_MS and never rejects. */
export async function lookAtDebug(endpoint: Endpoint): Promise<DebugSeen> {
  const host = formatEndpoint(endpoint);
  const [health, vars] = await Promise.all(
    ['/debug/health', '/debug/vars'].map((path) => askInClear({ endpoint }, host, path)),
  );
  return { endpoint, health: health ?? NOTHING, redis: vars?.kind === 'reply' ? redisOf(vars.body) : undefined };
}

const NOTHING: Silence = { kind: 'silence', step: 'http', reason: 'nothing', timedOut: false };

/**
 * The Redis of a registry, from its /debug/vars (Go's expvar, durations in nanoseconds); undefined where `body` is no
 * such page.
 */
export function redisOf(body: Buffer): RedisSeen | undefined {
  try {
    const { registry } = JSON.parse(body.toString()) as { registry?: { redis?: { Config?: Record<string, unknown> } } };
    if (!registry) return undefined;
    const { Addr = '', DB = 0, ReadTimeout = 0, Password = '' } = registry.redis?.Config ?? {};
    return {
      address: String(Addr),
      db: Number(DB),
      readTimeout: Number(ReadTimeout) > 0,
      showsPassword: String(Password) !== '',
    };
  } catch {
    return undefined;
  }
}

/** The findings of each debug address by itself, and whether all nodes use one Redis. */
export function judgeDebug(audience: Audience, nodes: readonly DebugSeen[]): Finding[] {
  return [...nodes.flatMap((node) => judgeHealth(audience, node)), ...judgeRedis(audience, nodes)];
}

function judgeHealth(audience: Audience, { endpoint, health }: DebugSeen): Finding[] {
  const label = formatEndpoint(endpoint);
  if (health.kind === 'silence')
    return [finding('DEBUG_HEALTH', label, `/debug/health: ${quoted({ audience }, health.reason)}`)];
  if (health.status === 200) return [];
  const said = quoted({ audience }, health.body.toString().slice(0, 300).trim());
  return [finding('DEBUG_HEALTH', label, `/debug/health answered ${health.status}: ${said}`)];
}

function judgeRedis(audience: Audience, nodes: readonly DebugSeen[]): Finding[] {
  const known = nodes.flatMap(({ endpoint, redis }) =>
    redis ? [{ label: formatEndpoint(endpoint), endpoint, redis }] : [],
  );
  const used = disagreement(
    known.map(({ label, endpoint, redis }) => ({ node: label, said: quoted({ audience }, nameOf(endpoint, redis)) })),
  );
  return [
    ...(used === undefined
      ? []
      : [
          finding(
            'REDIS_DIFFERS',
            known.map(({ label }) => label),
            `the nodes do not have one Redis (${used})`,
          ),
        ]),
    ...known.flatMap(({ label, redis }) => [
      ...(redis.address !== '' && !redis.readTimeout
        ? [finding('REDIS_NO_TIMEOUT', label, 'it waits for Redis without a read timeout')]
        : []),
      ...(redis.showsPassword
        ? [finding('REDIS_PASSWORD_SHOWN', label, '/debug/vars shows the password of Redis')]
        : []),
    ]),
  ];
}

/** Two nodes that both say 127.0.0.1 have two Redis, so the name of a loopback address carries its node's. */
function nameOf({ host }: Endpoint, { address, db }: RedisSeen): string {
  if (address === '') return 'no Redis';
  const own = /^(127\.|localhost|\[?::1)/.test(address) ? ` of ${host} itself` : '';
  return `${address}${own}, db ${db}`;
}
