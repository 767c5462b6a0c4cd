import { bearerChallenge } from '../pool/probe/challenge.ts';
import type { Fetched } from '../pool/probe/fetch-token.ts';
import { ask, askForChallenge, type Heard } from './ask.ts';
import { finding, type Finding, type FindingsOf } from './findings.ts';
import { quoted, type Audience, type Node } from './node.ts';

/** How far a login with a token got: to the node's challenge, to the token server, or to what the node says of it. */
export type TokenSeen = {
  /** The node as questions to it go on from here. */
  readonly node: Node;
  readonly challenge: Heard;
  readonly fetched?: Fetched;
  readonly heard?: Heard;
};

/** A push of a large layer takes longer than this. */
const SHORT_MS = 60_000;

/** Fetches a token where the node sends its clients, unless another node has had it fetched, and shows it. */
export async function logInWithToken(node: Node): Promise<TokenSeen> {
  const { tokens } = node.audience;
  const challenge = await askForChallenge(node);
  const asked = challenge.kind === 'reply' ? bearerChallenge(challenge.headers['www-authenticate']) : undefined;
  if (!asked || !tokens) return { node, challenge };
  const known = { ...node, challenge: asked };
  const fetched = await tokens.get(asked, '/v2/');
  if (fetched.kind !== 'token') return { node: known, challenge, fetched };
  return { node: known, challenge, fetched, heard: await ask(known, { path: '/v2/' }) };
}

export function hasToken({ heard }: TokenSeen): boolean {
  return heard?.kind === 'reply' && heard.status === 200;
}

/** What a node alone shows: that it answers as no registry does. */
export function judgeTokenLogin(
  label: string,
  audience: Audience,
  { challenge, fetched, heard }: TokenSeen,
): Finding[] {
  const odd = (what: string, seen: Heard): Finding[] => {
    const how = seen.kind === 'silence' ? `: ${quoted({ audience }, seen.reason)}` : ` answered ${seen.status}`;
    return [finding('V2_STATUS', label, `GET /v2/ ${what}${how}`)];
  };
  if (!fetched) return odd('once more, without a login,', challenge);
  if (!heard || (heard.kind === 'reply' && (heard.status === 200 || heard.status === 401))) return [];
  return odd('with a token', heard);
}

/** What the nodes show together: who takes one token, and what the token server did. */
export const judgeTokens: FindingsOf<TokenSeen> = (nodes) => {
  const groups = new Map<Fetched, typeof nodes>();
  for (const one of nodes) {
    // The nodes of one realm have got the very same answer of its token server.
    if (one.seen.fetched) groups.set(one.seen.fetched, [...(groups.get(one.seen.fetched) ?? []), one]);
  }
  return [...groups].flatMap(([fetched, group]) => judgeGroup(fetched, group));
};

type Group = Parameters<typeof judgeTokens>[0];

function judgeGroup(fetched: Fetched, group: Group): Finding[] {
  const labels = labelsOf(group);
  const audience = group[0]?.seen.node.audience ?? { credentials: undefined };
  const user = quoted({ audience }, audience.credentials?.user ?? '');
  if (fetched.kind === 'refused')
    return [finding('AUTH_REJECTED', labels, `the login of ${user}: ${quoted({ audience }, fetched.reason)}`)];
  if (fetched.kind === 'failed') return [finding('TOKEN_SERVER', labels, quoted({ audience }, fetched.reason))];
  return [...judgeTaken(group), ...judgeLife(labels, fetched.lifeMs)];
}

function judgeTaken(group: Group): Finding[] {
  const takes = group.filter(({ seen }) => hasToken(seen));
  const refuses = group.filter(({ seen: { heard } }) => heard?.kind === 'reply' && heard.status === 401);
  if (refuses.length === 0) return [];
  const by = refuses.map(({ label, seen }) => `${label}${whyRefused(seen)}`).join(', ');
  if (takes.length === 0) return [finding('TOKEN_REJECTED', labelsOf(refuses), `a token is refused by ${by}`)];
  const seen = `one token is taken by ${labelsOf(takes).join(', ')} and refused by ${by}`;
  return [finding('TOKEN_DIFFERS', labelsOf([...takes, ...refuses]), seen)];
}

/** As the node's header says. */
function whyRefused({ heard, node }: TokenSeen): string {
  const error = heard?.kind === 'reply' ? bearerChallenge(heard.headers['www-authenticate'])?.error : undefined;
  return error === undefined ? '' : ` (${quoted(node, error)})`;
}

function judgeLife(labels: readonly string[], lifeMs: number): Finding[] {
  if (lifeMs >= SHORT_MS) return [];
  return [finding('TOKEN_SHORT', labels, `a token lives for ${Math.round(lifeMs / 1_000)} s`)];
}

function labelsOf(group: Group): string[] {
  return group.map(({ label }) => label);
}
