import { ask, type Answer, type Silence } from './ask.ts';
import { disagreement, finding, type Finding, type FindingsOf } from './findings.ts';
import { quoted, type Audience, type Node } from './node.ts';

/** What a stranger is told. */
export type ApiSeen = { readonly root: Answer | Silence; readonly v2: Answer | Silence };

export async function lookAtApi(node: Node): Promise<ApiSeen> {
  const root = await ask(node, { path: '/', as: 'anonymous' });
  return { root, v2: await ask(node, { path: '/v2/', as: 'anonymous' }) };
}

/** How a stranger is let in. `shut`: no further question makes sense. */
export type Door = 'open' | 'basic' | 'token' | 'shut';

export function doorOf({ root, v2 }: ApiSeen): Door {
  if (isUnhealthy(root) || v2.kind === 'silence') return 'shut';
  if (v2.status === 200) return 'open';
  if (v2.status !== 401) return 'shut';
  const challenge = challengeOf(v2);
  if (/^basic\b/i.test(challenge)) return 'basic';
  return /^bearer\b/i.test(challenge) ? 'token' : 'shut';
}

export function judgeApi(label: string, audience: Audience, seen: ApiSeen): Finding[] {
  const { root, v2 } = seen;
  if (isUnhealthy(root)) return [finding('UNHEALTHY_503', label, 'GET / answered 503')];
  if (v2.kind === 'silence') return [finding('V2_STATUS', label, `GET /v2/: ${quoted({ audience }, v2.reason)}`)];
  const { status } = v2;
  if (status !== 200 && status !== 401) {
    const where = status >= 300 && status < 400 ? `, to ${quoted({ audience }, v2.headers.location ?? 'nowhere')}` : '';
    return [finding('V2_STATUS', label, `GET /v2/ answered ${status}${where}; 200 or 401 is right`)];
  }
  return [
    ...(doorOf(seen) === 'shut'
      ? [finding('V2_STATUS', label, 'GET /v2/ answered 401 and not, in WWW-Authenticate, how to log in')]
      : []),
    ...(v2.headers['docker-distribution-api-version'] === 'registry/2.0'
      ? []
      : [finding('API_HEADER', label, 'GET /v2/ came without Docker-Distribution-Api-Version: registry/2.0')]),
    ...(status === 401
      ? []
      : [finding('NO_AUTH', label, 'it lets anyone in, without a password', audience.credentials ? 'FAIL' : 'WARN')]),
  ];
}

/** Nodes that ask clients to log in in different ways, or of which some do not ask. */
export const judgeDoors: FindingsOf<{ readonly api: ApiSeen; readonly audience: Audience }> = (nodes) => {
  const known = nodes.filter(({ seen }) => doorOf(seen.api) !== 'shut');
  const labels = known.map(({ label }) => label);
  const asks = disagreement(
    known.map(({ label, seen }) => ({
      node: label,
      said: doorOf(seen.api) === 'open' ? 'open to anyone' : 'asks for a login',
    })),
  );
  const asking = known.filter(({ seen }) => doorOf(seen.api) !== 'open');
  const realms = disagreement(
    asking.map(({ label, seen: { api, audience } }) => ({
      node: label,
      said: quoted({ audience }, api.v2.kind === 'answer' ? challengeOf(api.v2) : ''),
    })),
  );
  return [
    ...(realms === undefined
      ? []
      : [
          finding(
            'REALM_DIFFERS',
            asking.map(({ label }) => label),
            `WWW-Authenticate differs (${realms})`,
          ),
        ]),
    ...(asks === undefined
      ? []
      : [finding('AUTH_DIFFERS', labels, `the nodes disagree about who may come in (${asks})`)]),
  ];
};

function challengeOf({ headers }: Answer): string {
  return (headers['www-authenticate'] ?? '').trim();
}

function isUnhealthy(root: Answer | Silence): boolean {
  return root.kind === 'answer' && root.status === 503;
}
