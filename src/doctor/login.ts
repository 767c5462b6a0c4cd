import { ask, askInTurn, type Answer, type Question, type Silence } from './ask.ts';
import { disagreement, finding, type Finding, type FindingsOf } from './findings.ts';
import { quoted, type Audience, type Node } from './node.ts';

/** What the user is told, and what a login costs. */
export type LoginSeen = { readonly answer: Answer | Silence; readonly cost: LoginCost };

/**
 * The quickest of the user's and of a stranger's requests, in turn, on one connection; undefined where there are too few. A busy
 * machine makes a request slower and never quicker, so that medians, on one that is busy, take no bcrypt for bcrypt.
 */
export type LoginCost = { readonly userMs: number; readonly strangerMs: number } | undefined;

const SAMPLES = 15;
const FEWEST_SAMPLES = 3;
/** A hash of a high cost needs a second a request: some samples do. */
const SAMPLING_MS = 4_000;
/** No bcrypt, of whatever cost, is as quick. */
const NO_BCRYPT_MS = 0.8;
const SLOW_BCRYPT_MS = 100;

/** `inTurn` runs one measurement at a time: two would count each other's work. */
export async function logIn(node: Node, inTurn: InTurn): Promise<LoginSeen> {
  const answer = await ask(node, { path: '/v2/' });
  const judgeable = answer.kind === 'answer' && (answer.status === 200 || answer.status === 401);
  return { answer, cost: judgeable ? await inTurn(() => loginCost(node)) : undefined };
}

export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

async function loginCost(node: Node): Promise<LoginCost> {
  const tookMs = { user: [] as number[], anonymous: [] as number[] };
  function* questions(): Iterable<Question> {
    // The first of a connection pays for the handshake's last part; nobody counts it.
    yield { path: '/v2/', as: 'anonymous' };
    tookMs.anonymous.length = 0;
    for (let i = 0; i < SAMPLES; i++) {
      yield { path: '/v2/', as: 'anonymous' };
      yield { path: '/v2/', as: 'user' };
    }
  }
  await askInTurn(node, SAMPLING_MS, questions(), ({ as = 'user' }, answer) => tookMs[as].push(answer.tookMs));
  if (tookMs.user.length < FEWEST_SAMPLES) return undefined;
  return { userMs: Math.min(...tookMs.user), strangerMs: Math.min(...tookMs.anonymous) };
}

export function isLoggedIn({ answer }: LoginSeen): boolean {
  return answer.kind === 'answer' && answer.status === 200;
}

export function judgeLogin(label: string, audience: Audience, seen: LoginSeen): Finding[] {
  const { answer, cost } = seen;
  const user = quoted({ audience }, audience.credentials?.user ?? '');
  if (answer.kind === 'silence')
    return [finding('V2_STATUS', label, `GET /v2/ as ${user}: ${quoted({ audience }, answer.reason)}`)];
  if (answer.status === 401) return [finding('AUTH_REJECTED', label, `the login of ${user} got 401${hint(cost)}`)];
  if (answer.status === 400 && answer.body.length === 0)
    return [finding('HTPASSWD_BROKEN', label, `the login of ${user} got 400 with an empty body`)];
  if (answer.status !== 200) return [finding('V2_STATUS', label, `GET /v2/ as ${user} answered ${answer.status}`)];
  const bcryptMs = cost ? cost.userMs - cost.strangerMs : 0;
  if (bcryptMs <= SLOW_BCRYPT_MS) return [];
  return [finding('BCRYPT_SLOW', label, `a login costs ${Math.round(bcryptMs)} ms`)];
}

/** A hint, no more: a busy machine can make it wrong. */
function hint(cost: LoginCost): string {
  if (!cost) return '';
  const differenceMs = cost.userMs - cost.strangerMs;
  const measured = `a login took ${Math.max(differenceMs, 0).toFixed(1)} ms`;
  return differenceMs < NO_BCRYPT_MS
    ? `; probably there is no such user, or no bcrypt hash (${measured}, and no bcrypt is that quick): an empty or missing password file, ` +
        'one that begins with a byte order mark, or a hash made without -B'
    : `; probably the password is another one (${measured}, so a bcrypt hash was compared)`;
}

/** Users that one node takes and another does not. */
export const judgeLogins: FindingsOf<LoginSeen> = (nodes) => {
  const known = nodes.flatMap(({ label, seen }) => {
    const status = seen.answer.kind === 'answer' ? seen.answer.status : 0;
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
