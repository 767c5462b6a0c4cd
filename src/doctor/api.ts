import { bearerChallenge } from '../pool/probe/challenge.ts';
import { badRequestFault, type Fault } from '../pool/probe/faults.ts';
import { ask, type Heard, type Reply } from './ask.ts';
import { disagreement, finding, type Finding, type FindingsOf } from './findings.ts';
import { quoted, type Audience, type Node } from './node.ts';

/** What a node tells a client without a login: at `/`, and at `/v2/`. */
export type ApiSeen = { readonly root: Heard; readonly v2: Heard };

/** Two questions, one after another. Ends within twice STEP_MS and never rejects. */
export async function lookAtApi(node: Node): Promise<ApiSeen> {
  const root = await ask(node, { path: '/', as: 'anonymous' });
  return { root, v2: await ask(node, { path: '/v2/', as: 'anonymous' }) };
}

/**
 * How a node asks its clients to log in: not at all, with a password (RFC 7617), or with a token from a token server
 * (RFC 6750). 'unusable': the node is ill, or asks for what no docker client can give, so the audit of this node ends.
 */
export type AuthScheme = 'none' | 'basic' | 'token' | 'unusable';

/** By the status of `/v2/`, and by its challenge in WWW-Authenticate (RFC 9110 section 11.6.1). */
export function authSchemeOf({ root, v2 }: ApiSeen): AuthScheme {
  if (isUnhealthy(root) || v2.kind === 'silence') return 'unusable';
  if (v2.status === 200) return 'none';
  if (v2.status !== 401) return 'unusable';
  const challenge = challengeOf(v2);
  if (bearerChallenge(challenge)) return 'token';
  return /^basic\b/i.test(challenge) ? 'basic' : 'unusable';
}

/** The findings of one node, by the specification of the registry API: 200 or 401, and the version in a header. */
export function judgeApi(label: string, audience: Audience, seen: ApiSeen): Finding[] {
  const { root, v2 } = seen;
  if (isUnhealthy(root)) return [finding('UNHEALTHY_503', label, 'GET / answered 503')];
  const wanted = certificateFault(v2);
  if (wanted) return [finding('CLIENT_CERT', label, `GET /v2/: ${wanted.what}`)];
  if (v2.kind === 'silence') return [finding('V2_STATUS', label, `GET /v2/: ${quoted({ audience }, v2.reason)}`)];
  const { status } = v2;
  if (status !== 200 && status !== 401) {
    const where = status >= 300 && status < 400 ? `, to ${quoted({ audience }, v2.headers.location ?? 'nowhere')}` : '';
    return [finding('V2_STATUS', label, `GET /v2/ answered ${status}${where}; 200 or 401 is right`)];
  }
  return [
    ...(authSchemeOf(seen) === 'unusable'
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

/** A wish for a client certificate: TLS 1.3 tells of it after the handshake, and nginx in a 400. */
function certificateFault(v2: Heard): Fault | undefined {
  const fault = v2.kind === 'silence' ? v2.fault : v2.status === 400 ? badRequestFault(v2.body.toString()) : undefined;
  return fault?.kind === 'client-certificate' ? fault : undefined;
}

type NodeApi = { readonly api: ApiSeen; readonly audience: Audience };

/** Nodes of which some ask for a login and others do not, or which send clients to different realms. */
export const judgeAuthSchemes: FindingsOf<NodeApi> = (nodes) => {
  const known = nodes.filter(({ seen }) => authSchemeOf(seen.api) !== 'unusable');
  const labels = known.map(({ label }) => label);
  const asks = disagreement(
    known.map(({ label, seen }) => ({
      node: label,
      said: authSchemeOf(seen.api) === 'none' ? 'open to anyone' : 'asks for a login',
    })),
  );
  const asking = known.filter(({ seen }) => authSchemeOf(seen.api) !== 'none');
  const realms = disagreement(
    asking.map(({ label, seen: { api, audience } }) => ({
      node: label,
      said: quoted({ audience }, api.v2.kind === 'reply' ? challengeOf(api.v2) : ''),
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

/** Nodes behind whose login the audit could not look, for want of a user. */
export const judgeUnopened: FindingsOf<NodeApi> = (nodes) => {
  if (nodes.some(({ seen }) => seen.audience.credentials)) return [];
  const locked = nodes.filter(({ seen }) => ['basic', 'token'].includes(authSchemeOf(seen.api)));
  const labels = locked.map(({ label }) => label);
  return labels.length > 0 ? [finding('NO_CREDENTIALS', labels, 'a login is needed to see more')] : [];
};

function challengeOf({ headers }: Reply): string {
  return (headers['www-authenticate'] ?? '').trim();
}

function isUnhealthy(root: Heard): boolean {
  return root.kind === 'reply' && root.status === 503;
}
