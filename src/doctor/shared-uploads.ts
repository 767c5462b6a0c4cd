import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { finding, type Finding } from './findings.ts';
import type { Node, Patience } from './node.ts';
import { append, endUpload, judgeOdd, look, startUpload, type Look, type Session, type Started } from './upload.ts';

/** What each other node sees of uploads that `from` begins. */
export type SharedSeen = {
  readonly from: Node;
  readonly repository: string;
  readonly start: Started;
  readonly pairs: readonly PairSeen[];
};
export type PairSeen = {
  readonly to: Node;
  readonly first: Look;
  /** After how long `to` saw the session, where it did not see the session at first. */
  readonly laterMs?: number;
  /**
   * Where `to` never saw the session: how it sees another session, in a repository that it has never looked for, so
   * that its mount cannot remember the folder as missing.
   */
  readonly elsewhere?: Look;
  readonly growth?: Growth;
};
/** Whether one node of a pair sees at once the bytes that the other appends. */
export type Growth =
  | { readonly kind: 'kept-up' }
  | { readonly kind: 'late'; readonly writer: Node; readonly reader: Node; readonly caughtUp: boolean }
  | { readonly kind: 'odd'; readonly node: Node; readonly look: Look & { kind: 'odd' } };

/** Uploads begin in `repository`. Every node knows the repository `above`; new names are made up below it. */
export type Place = { readonly repository: string; readonly above: string };

const RETRY_MS = 250;
const PIECE = Buffer.from('berth doctor\n');

/**
 * Begins an upload on `from` and looks at its session from the others, then lets `from` and each other node append in
 * turns. Where nothing is wrong, all use one session, which is deleted at the end. Rejects only when the patience is
 * aborted, and deletes the session then, too.
 */
export async function shareUpload(
  from: Node,
  others: readonly Node[],
  { repository, above }: Place,
  patience: Patience,
): Promise<SharedSeen> {
  const start = await startUpload(from, repository);
  if (start.kind === 'not-started') return { from, repository, start, pairs: [] };
  let session: Session | undefined = start.session;
  try {
    // All look while the session is empty: only a different secret can then make it invalid, and looking changes
    // nothing.
    const pairs: PairSeen[] = await Promise.all(
      others.map((to) => firstLook(from, to, start.session, above, patience)),
    );
    for (const [i, pair] of pairs.entries()) {
      patience.signal.throwIfAborted();
      if (pair.first.kind !== 'seen') continue;
      session ??= await anotherSession(from, repository);
      if (!session) break;
      const { growth, left } = await takeTurns(from, pair.to, session, patience);
      pairs[i] = { ...pair, growth };
      session = left;
    }
    return { from, repository, start, pairs };
  } finally {
    if (session) await endUpload(from, session);
  }
}

async function anotherSession(node: Node, repository: string): Promise<Session | undefined> {
  const started = await startUpload(node, repository);
  return started.kind === 'started' ? started.session : undefined;
}

async function firstLook(from: Node, to: Node, session: Session, above: string, patience: Patience): Promise<PairSeen> {
  const startedAt = performance.now();
  const first = await look(to, session);
  if (first.kind !== 'unknown') return { to, first };
  while (performance.now() - startedAt < patience.waitMs) {
    await sleep(RETRY_MS, undefined, patience);
    const again = await look(to, session);
    if (again.kind === 'seen') return { to, first, laterMs: performance.now() - startedAt };
  }
  const unheardOf = await anotherSession(from, `${above}/${randomBytes(4).toString('hex')}`);
  if (!unheardOf) return { to, first };
  const elsewhere = await look(to, unheardOf);
  await endUpload(from, unheardOf);
  return { to, first, elsewhere };
}

/** `left`: the session as it is now; undefined where a late node has ended the session, as registries do. */
async function takeTurns(
  from: Node,
  to: Node,
  session: Session,
  patience: Patience,
): Promise<{ growth: Growth; left: Session | undefined }> {
  let left = session;
  for (const [writer, reader] of [[from, to] as const, [to, from] as const]) {
    const written = await append(writer, left, PIECE);
    if (written.kind === 'odd') return { growth: { kind: 'odd', node: writer, look: written }, left };
    // A node can append only to bytes that it sees. The loop ends where a node does not see what the other has
    // appended.
    if (written.kind !== 'seen') return { growth: await lateness(reader, writer, session, patience), left: undefined };
    left = written.session;
    const read = await look(reader, left);
    if (read.kind === 'odd') return { growth: { kind: 'odd', node: reader, look: read }, left };
    if (read.kind !== 'seen') return { growth: await lateness(writer, reader, session, patience), left: undefined };
    if (read.size !== written.size) return { growth: await lateness(writer, reader, session, patience), left };
  }
  return { growth: { kind: 'kept-up' }, left };
}

/** Uses another session, because a late node may have ended the first, to see whether the reader catches up in time. */
async function lateness(writer: Node, reader: Node, { repository }: Session, patience: Patience): Promise<Growth> {
  const late = { kind: 'late', writer, reader } as const;
  let session = await anotherSession(writer, repository);
  if (!session) return { ...late, caughtUp: false };
  try {
    await look(reader, session);
    const written = await append(writer, session, PIECE);
    if (written.kind !== 'seen') return { ...late, caughtUp: false };
    session = written.session;
    await sleep(patience.waitMs, undefined, patience);
    const read = await look(reader, session);
    return { ...late, caughtUp: read.kind === 'seen' && read.size === written.size };
  } finally {
    await endUpload(writer, session);
  }
}

/** The findings of all pairs that begin with `from`; `waitMs` is the patience that the pairs had. */
export function judgeShared({ from, pairs }: SharedSeen, waitMs: number): Finding[] {
  return pairs.flatMap((pair) => judgePair(from, pair, waitMs));
}

function judgePair(from: Node, pair: PairSeen, waitMs: number): Finding[] {
  const { to, first, laterMs, elsewhere, growth } = pair;
  const where = { from: from.label, to: to.label };
  const seconds = waitMs / 1_000;
  if (first.kind === 'invalid')
    return [finding('SECRET_DIFFERS', where, `an upload begun on ${from.label} is invalid on ${to.label}`)];
  if (first.kind === 'odd') return judgeOdd(to.label, to.audience, `GET an upload begun on ${from.label}`, first);
  if (first.kind === 'unknown') {
    const begun = `an upload begun on ${from.label}`;
    if (laterMs !== undefined)
      return [finding('STORAGE_LAG', where, `${to.label} sees ${begun} after ${(laterMs / 1_000).toFixed(1)} s only`)];
    if (elsewhere?.kind === 'seen') {
      const seen =
        `${to.label} sees ${begun} at once in a repository that is new to it, ` +
        `but not within ${seconds} s where it had looked before`;
      return [finding('STORAGE_LAG', where, seen)];
    }
    return [finding('STORAGE_NOT_SHARED', where, `${begun} is unknown to ${to.label}, ${seconds} s later still`)];
  }
  if (growth?.kind === 'odd')
    return judgeOdd(growth.node.label, to.audience, 'an upload that goes on on two nodes', growth.look);
  if (growth?.kind !== 'late') return [];
  const { writer, reader, caughtUp } = growth;
  const then = caughtUp ? `but after ${seconds} s` : `nor after ${seconds} s`;
  const seen = `${reader.label} does not see at once what ${writer.label} appends to an upload, ${then}`;
  return [finding('STORAGE_LAG', { from: writer.label, to: reader.label }, seen)];
}
