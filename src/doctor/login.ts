import { ask, askInTurn, type Heard, type Question } from './ask.ts';
import { disagreement, finding, type Finding, type FindingsOf } from './findings.ts';
import { quoted, type Audience, type Node } from './node.ts';

/** What the node replied to the user's login, and what a login costs the node. */
export type LoginSeen = { readonly heard: Heard; readonly cost: LoginCost };

/**
 * The quickest request of the user and the quickest request without a login, measured in turns on one connection;
 * undefined where too few were measured. A busy machine makes requests slower and never quicker, so medians would show
 * a bcrypt where there is none.
 */
export type LoginCost = { readonly userMs: number; readonly strangerMs: number } | undefined;

const SAMPLES = 15;
const FEWEST_SAMPLES = 3;
/** Where bcrypt takes a second for each request, the few samples of this time suffice. */
const SAMPLING_MS = 4_000;
/** Even a bcrypt of the least cost (4) takes longer. */
const NO_BCRYPT_MS = 0.8;
const SLOW_BCRYPT_MS = 100;

/**
 * Logs in once, and measures what a login costs where the node let the user in or turned the user away. Never rejects.
 * `inTurn` runs one measurement at a time: each of two at once would count the work that the other causes. Without it
 * nothing is measured.
 */
export async function logIn(node: Node, inTurn: InTurn | undefined): Promise<LoginSeen> {
  const heard = await ask(node, { path: '/v2/' });
  const judgeable = heard.kind === 'reply' && (heard.status === 200 || heard.status === 401);
  return { heard, cost: inTurn && judgeable ? await inTurn(() => loginCost(node)) : undefined };
}

/** Runs `work` when the work before has ended. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

async function loginCost(node: Node): Promise<LoginCost> {
  const tookMs = { user: [] as number[], anonymous: [] as number[] };
  function* questions(): Iterable<Question> {
    // The first request of a connection pays for the last part of the handshake, so it is not counted.
    yield { path: '/v2/', as: 'anonymous' };
    tookMs.anonymous.length = 0;
    for (let i = 0; i < SAMPLES; i++) {
      yield { path: '/v2/', as: 'anonymous' };
      yield { path: '/v2/', as: 'user' };
    }
  }
  await askInTurn(node, SAMPLING_MS, questions(), ({ as = 'user' }, reply) => tookMs[as].push(reply.tookMs));
  if (tookMs.user.length < FEWEST_SAMPLES) return undefined;
  return { userMs: Math.min(...tookMs.user), strangerMs: Math.min(...tookMs.anonymous) };
}

export function isLoggedIn({ heard }: LoginSeen): boolean {
  return heard.kind === 'reply' && heard.status === 200;
}

/** The findings of one node. */
export function judgeLogin(label: string, audience: Audience, seen: LoginSeen): Finding[] {
  const { heard, cost } = seen;
  const user = quoted({ audience }, audience.credentials?.user ?? '');
  if (heard.kind === 'silence')
    return [finding('V2_STATUS', label, `GET /v2/ as ${user}: ${quoted({ audience }, heard.reason)}`)];
  if (heard.status === 401) return [finding('AUTH_REJECTED', label, `the login of ${user} got 401${hint(cost)}`)];
  if (heard.status === 400 && heard.body.length === 0)
    return [finding('HTPASSWD_BROKEN', label, `the login of ${user} got 400 with an empty body`)];
  if (heard.status !== 200) return [finding('V2_STATUS', label, `GET /v2/ as ${user} answered ${heard.status}`)];
  const bcryptMs = cost ? cost.userMs - cost.strangerMs : 0;
  if (bcryptMs <= SLOW_BCRYPT_MS) return [];
  return [finding('BCRYPT_SLOW', label, `a login costs ${Math.round(bcryptMs)} ms`)];
}

/** What the time of a refused login hints at. Only a hint: on a busy machine the time can be wrong. */
function hint(cost: LoginCost): string {
  if (!cost) return '';
  const differenceMs = cost.userMs - cost.strangerMs;
  const measured = `a login took ${Math.max(differenceMs, 0).toFixed(1)} ms`;
  return differenceMs < NO_BCRYPT_MS
    ? `; probably there is no such user, or no bcrypt hash (${measured}, and no bcrypt is that quick): ` +
        'an empty or missing password file, one that begins with a byte order mark, or a hash made without -B'
    : `; probably the password is another one (${measured}, so a bcrypt hash was compared)`;
}

/** Whether all nodes let the user in, or all turn the user away. */
export const judgeLogins: FindingsOf<LoginSeen> = (nodes) => {
  const known = nodes.flatMap(({ label, seen }) => {
    const status = seen.heard.kind === 'reply' ? seen.heard.status : 0;
    return status === 200 || status === 401 ? [{ node: label, said: status === 200 ? 'let in' : 'turned away' }] : [];
  });
  const seen = disagreement(known);
  if (seen === undefined) return [];
  return [
    finding(
      'AUTH_DIFFERS',
      known.map(({ node }) => node),
      `the same login is ${seen}`,
    ),
  ];
};
