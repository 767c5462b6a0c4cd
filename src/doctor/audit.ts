import { randomBytes } from 'node:crypto';
import type { Endpoint } from '../config/values.ts';
import { authSchemeOf, judgeApi, judgeAuthSchemes, judgeUnopened, lookAtApi, type ApiSeen } from './api.ts';
import { judgeCertificate, judgeFingerprints, mayTellSecrets, type CertificateSeen } from './certificate.ts';
import { judgeClock } from './clock.ts';
import { findGround, judgeGround } from './common-ground.ts';
import { judgeDebug, lookAtDebug } from './debug.ts';
import { sorted, type Finding } from './findings.ts';
import { isLoggedIn, judgeLogin, judgeLogins, logIn, type InTurn, type LoginSeen } from './login.ts';
import type { Audience, Node } from './node.ts';
import { judgeReached, reach } from './reach.ts';
import { judgeBlobs, shareBlob } from './shared-blobs.ts';
import { judgeShared, shareUpload } from './shared-uploads.ts';
import { judgeStorage, lookAtStorage, storageAnswers } from './storage.ts';
import { hasToken, judgeTokenLogin, judgeTokens, logInWithToken, type TokenSeen } from './token-login.ts';
import { judgeStart } from './upload.ts';

export type AuditOptions = {
  readonly repository: string;
  /** Whether the audit stores a blob on each node and deletes it again. */
  readonly write: boolean;
  /** How long the audit waits for a storage that lags. */
  readonly waitMs: number;
  /** The nodes' http.debug.addr. */
  readonly debug: readonly Endpoint[];
  /**
   * For an audit that must not disturb: it waits for this before it turns to each node, looks at one node at a time,
   * pairs each node with the next one alone, and does not measure what a login costs. Rejects to give up the audit.
   */
  readonly turn?: (() => Promise<void>) | undefined;
};

/** What is known of one node, as far as the audit got. `ready`: the node can be asked for uploads. */
type NodeSeen = {
  readonly node: Node;
  readonly findings: readonly Finding[];
  readonly certificate?: CertificateSeen;
  readonly api?: ApiSeen;
  readonly login?: LoginSeen;
  readonly token?: TokenSeen;
  readonly ready: boolean;
};

/** Uploads that are under way at one time, each with questions to all other nodes. */
const AT_ONCE = 8;

/**
 * Audits each node, then every ordered pair of nodes; `progress` hears in words how far the audit is. What a node does
 * never makes it reject; when `signal` aborts, the audit deletes what it has begun on the nodes and rejects.
 */
export async function audit(
  audience: Audience,
  nodes: readonly Node[],
  options: AuditOptions,
  progress: (step: string) => void,
  signal: AbortSignal = new AbortController().signal,
): Promise<Finding[]> {
  const debug = Promise.all(options.debug.map(lookAtDebug));
  let done = 0;
  const inTurn = oneAtATime();
  progress(`looking at ${nodes.length} nodes`);
  const { repository, turn } = options;
  const seen = await limited(nodes, turn ? 1 : nodes.length, async (node) => {
    await turn?.();
    const nodeSeen = await auditNode(node, repository, turn ? undefined : inTurn);
    progress(`looking at the nodes: ${++done} of ${nodes.length}`);
    return nodeSeen;
  });
  const findings = [...seen.flatMap((nodeSeen) => nodeSeen.findings), ...compare(seen)];
  const ready = seen.filter((nodeSeen) => nodeSeen.ready).map(({ node }) => node);
  const pairs = await auditPairs(ready, options, progress, signal);
  findings.push(...pairs);
  if (options.write) {
    const refusing = pairs.flatMap(({ code, where }) => (code === 'UPLOAD_START' ? [where] : []));
    const writers = ready.filter(({ label }) => !refusing.includes(label));
    findings.push(...(await auditBlobs(writers, ready, options, progress, signal)));
  }
  findings.push(...judgeDebug(audience, await debug));
  return sorted(findings);
}

/** The checks of one node, each only where those before it left something to ask: without TLS, nothing asks HTTP. */
async function auditNode(node: Node, repository: string, inTurn: InTurn | undefined): Promise<NodeSeen> {
  const { label, audience } = node;
  const reached = await reach(node);
  if (reached.kind !== 'reached') return { node, findings: judgeReached(label, reached), ready: false };
  const { certificate } = reached;
  const api = await lookAtApi(node);
  const dated = [api.v2, api.root].find((heard) => heard.kind === 'reply');
  const findings = [
    ...judgeCertificate(label, audience, certificate, Date.now()),
    ...judgeApi(label, audience, api),
    ...(dated ? judgeClock(label, dated) : []),
  ];
  const soFar = { node, certificate, api };
  const scheme = authSchemeOf(api);
  const mayLogIn = audience.credentials !== undefined && mayTellSecrets(certificate);
  if (scheme === 'unusable' || (scheme !== 'none' && !mayLogIn)) return { ...soFar, findings, ready: false };
  if (audience.credentials && !mayLogIn) return { ...soFar, findings, ready: false };
  if (scheme === 'token') {
    const token = await logInWithToken(node);
    findings.push(...judgeTokenLogin(label, audience, token));
    if (!hasToken(token)) return { ...soFar, token, findings, ready: false };
    const storage = await lookAtStorage(token.node, repository);
    findings.push(...judgeStorage(label, audience, storage));
    return { ...soFar, node: token.node, token, findings, ready: storageAnswers(storage) };
  }
  const login = scheme === 'basic' ? await logIn(node, inTurn) : undefined;
  if (login) findings.push(...judgeLogin(label, audience, login));
  if (login && !isLoggedIn(login)) return { ...soFar, login, findings, ready: false };
  const storage = await lookAtStorage(node, repository);
  findings.push(...judgeStorage(label, audience, storage, login?.cost?.userMs));
  return { ...soFar, ...(login ? { login } : {}), findings, ready: storageAnswers(storage) };
}

/** The faults of nodes that are well each by itself and do not fit together. */
function compare(seen: readonly NodeSeen[]): Finding[] {
  const certificates = seen.flatMap(({ node: { label }, certificate }) =>
    certificate ? [{ label, certificate }] : [],
  );
  const apis = seen.flatMap(({ node: { label, audience }, api }) => (api ? [{ label, seen: { api, audience } }] : []));
  const logins = seen.flatMap(({ node: { label }, login }) => (login ? [{ label, seen: login }] : []));
  const tokens = seen.flatMap(({ node: { label }, token }) => (token ? [{ label, seen: token }] : []));
  return [
    ...judgeFingerprints(certificates),
    ...judgeAuthSchemes(apis),
    ...judgeLogins(logins),
    ...judgeTokens(tokens),
    ...judgeUnopened(apis),
  ];
}

async function auditPairs(
  nodes: readonly Node[],
  { repository, waitMs, turn }: AuditOptions,
  progress: (step: string) => void,
  signal: AbortSignal,
): Promise<Finding[]> {
  progress('beginning uploads');
  const ground = await findGround(nodes, repository, signal, progress, turn);
  // A mount may remember that a folder was missing. So each node first looks in vain for the repository that another
  // node then uses; with two repositories of fresh names, every node has one to look for and one to use.
  const unheardOf = nodes.length < 2 ? [] : [1, 2].map((i) => `${repository}/${randomBytes(4).toString('hex')}-${i}`);
  progress('looking for repositories that are not there');
  const toLookFor = unheardOf.flatMap((name, i) => nodes.filter((_, j) => j !== i).map((node) => ({ node, name })));
  await limited(toLookFor, turn ? 1 : toLookFor.length, ({ node, name }) => lookAtStorage(node, name));
  let done = 0;
  const findings = await limited(nodes, turn ? 1 : AT_ONCE, async (from, i) => {
    await turn?.();
    signal.throwIfAborted();
    const next = nodes[(i + 1) % nodes.length];
    const others = nodes.filter((node) => node !== from && (!turn || node === next));
    const place = { repository: unheardOf[i] ?? repository, above: repository };
    const shared = await shareUpload(from, others, place, { waitMs, signal });
    progress(`going on with uploads on other nodes: ${++done} of ${nodes.length}`);
    return [...judgeStart(from.label, from.audience, shared.repository, shared.start), ...judgeShared(shared, waitMs)];
  });
  return withoutEchoes([...ground.flatMap(judgeGround), ...findings.flat()]);
}

/** A node that refuses to begin uploads refuses those of other nodes too: the report names this fault once. */
function withoutEchoes(findings: readonly Finding[]): Finding[] {
  const takesNone = findings.flatMap(({ code, where }) => (code === 'UPLOAD_START' ? [where] : []));
  return findings.filter(({ code, where }) => code !== 'STORAGE_ERROR' || !takesNone.includes(where));
}

async function auditBlobs(
  writers: readonly Node[],
  nodes: readonly Node[],
  { repository, waitMs, turn }: AuditOptions,
  progress: (step: string) => void,
  signal: AbortSignal,
): Promise<Finding[]> {
  let done = 0;
  const findings = await limited(writers, turn ? 1 : AT_ONCE, async (from) => {
    await turn?.();
    signal.throwIfAborted();
    const next = nodes[(nodes.indexOf(from) + 1) % nodes.length];
    const others = nodes.filter((node) => node !== from && (!turn || node === next));
    const blobs = await shareBlob(from, others, repository, { waitMs, signal });
    progress(`reading and deleting blobs on other nodes: ${++done} of ${writers.length}`);
    return judgeBlobs(blobs);
  });
  return findings.flat();
}

/** A queue: each piece of work begins when the one before has ended, well or not. */
function oneAtATime(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
}

/** As `Promise.all` over `items`, with at most `atOnce` of them under way. */
async function limited<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const left = [...items.entries()];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let next = left.shift(); next; next = left.shift()) results[next[0]] = await work(next[1], next[0]);
    }),
  );
  return results;
}
