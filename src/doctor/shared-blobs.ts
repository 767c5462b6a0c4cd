import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, type Heard } from './ask.ts';
import { finding, type Finding } from './findings.ts';
import { quoted, type Node, type Patience } from './node.ts';
import { endUpload, startUpload, statusAndCodes } from './upload.ts';

/** What each other node sees of a blob that `from` stores, and then deletes. */
export type BlobsSeen = {
  readonly from: Node;
  /** Why the blob could not be stored. */
  readonly fault?: string;
  readonly pairs: readonly BlobPair[];
  readonly deleted?: Deleted;
};
export type BlobPair = {
  readonly to: Node;
  /** Whether `to` delivered the blob: at once, after a wait, not at all (404), or in another way not. */
  readonly read: 'whole' | 'later' | 'missing' | 'broken';
  /** The status of a HEAD for a blob that `to` did not deliver: with 200, `to` claims to have the blob. */
  readonly head?: number | undefined;
  /** Whether `to` still claimed to have the blob after `from` had deleted it. */
  readonly afterDelete?: 'gone' | 'gone-later' | 'there';
};
/** What `from` replied to the DELETE, or why it did not reply. */
export type Deleted = { readonly status: number } | { readonly reason: string };

const RETRY_MS = 250;

/**
 * Stores a small blob through `from`, reads it through the others, deletes it through `from`, and asks the others
 * again. Rejects only when the patience is aborted, and deletes the blob then, too.
 */
export async function shareBlob(
  from: Node,
  others: readonly Node[],
  repository: string,
  patience: Patience,
): Promise<BlobsSeen> {
  // Fresh content each time: a node that has kept a copy of an earlier blob would hide that the storage is not shared.
  const content = Buffer.from(`berth doctor ${randomBytes(16).toString('hex')}\n`);
  const path = `/v2/${repository}/blobs/sha256:${createHash('sha256').update(content).digest('hex')}`;
  const fault = await store(from, repository, path, content);
  if (fault !== undefined) return { from, fault, pairs: [] };
  let deleted: Deleted = { reason: 'it was not tried' };
  let pairs: BlobPair[] = [];
  try {
    pairs = await Promise.all(others.map((to) => readBlob(to, path, content, patience)));
  } finally {
    const heard = await ask(from, { method: 'DELETE', path });
    deleted = heard.kind === 'reply' ? { status: heard.status } : { reason: heard.reason };
  }
  if (!('status' in deleted) || deleted.status !== 202) return { from, pairs, deleted };
  return { from, deleted, pairs: await Promise.all(pairs.map((pair) => lookForDeleted(pair, path, patience))) };
}

/** Why the blob could not be stored; undefined where it was. */
async function store(node: Node, repository: string, path: string, body: Buffer): Promise<string | undefined> {
  const started = await startUpload(node, repository);
  if (started.kind === 'not-started') return started.reason;
  const { session } = started;
  const digest = encodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
  const separator = session.path.includes('?') ? '&' : '?';
  const heard = await ask(node, { method: 'PUT', path: `${session.path}${separator}digest=${digest}`, body });
  if (heard.kind === 'reply' && heard.status === 201) return undefined;
  await endUpload(node, session);
  return heard.kind === 'reply' ? `answered ${statusAndCodes(heard)}` : `got no answer: ${heard.reason}`;
}

async function readBlob(to: Node, path: string, content: Buffer, patience: Patience): Promise<BlobPair> {
  const startedAt = performance.now();
  for (let tries = 0; ; tries++) {
    const heard = await ask(to, { path });
    if (isWhole(heard, content)) return { to, read: tries === 0 ? 'whole' : 'later' };
    if (performance.now() - startedAt >= patience.waitMs) {
      const head = await statusOf(to, path);
      const missing = heard.kind === 'reply' && heard.status === 404;
      return { to, read: missing ? 'missing' : 'broken', head };
    }
    await sleep(RETRY_MS, undefined, patience);
  }
}

/** A node that sends its clients to a bucket (307) knows the blob; the doctor does not follow, so it judges no more. */
function isWhole(heard: Heard, content: Buffer): boolean {
  if (heard.kind === 'silence') return false;
  return heard.status === 307 || (heard.status === 200 && heard.body.equals(content));
}

async function lookForDeleted(pair: BlobPair, path: string, patience: Patience): Promise<BlobPair> {
  // A node that never had the blob cannot show whether it learns of the deletion.
  if (pair.read !== 'whole' && pair.read !== 'later') return pair;
  const startedAt = performance.now();
  for (let tries = 0; ; tries++) {
    if ((await statusOf(pair.to, path)) !== 200) return { ...pair, afterDelete: tries === 0 ? 'gone' : 'gone-later' };
    if (performance.now() - startedAt >= patience.waitMs) return { ...pair, afterDelete: 'there' };
    await sleep(RETRY_MS, undefined, patience);
  }
}

async function statusOf(node: Node, path: string): Promise<number | undefined> {
  const heard = await ask(node, { method: 'HEAD', path });
  return heard.kind === 'reply' ? heard.status : undefined;
}

/** The findings of all pairs that begin with `from`, and of `from` itself. */
export function judgeBlobs({ from, fault, pairs, deleted }: BlobsSeen): Finding[] {
  if (fault !== undefined)
    return [finding('UPLOAD_START', from.label, `a blob could not be stored: PUT ${quoted(from, fault)}`)];
  return [...pairs.flatMap((pair) => judgeBlobPair(from, pair)), ...judgeDelete(from, deleted)];
}

function judgeBlobPair(from: Node, { to, read, head, afterDelete }: BlobPair): Finding[] {
  const where = { from: from.label, to: to.label };
  const stored = `a blob stored through ${from.label}`;
  if (read === 'missing' && head !== 200)
    return [finding('BLOB_NOT_SHARED', where, `${stored} is not there on ${to.label}`)];
  if (read === 'missing' || read === 'broken') {
    return head === 200
      ? [finding('CACHE_LIES', where, `${to.label} says that it has ${stored} (HEAD 200), and cannot deliver it`)]
      : [finding('BLOB_NOT_SHARED', where, `${to.label} cannot deliver ${stored}`)];
  }
  return [
    ...(read === 'later' || afterDelete === 'gone-later'
      ? [finding('STORAGE_LAG', where, `${to.label} sees only later what ${from.label} stores or deletes`)]
      : []),
    ...(afterDelete === 'there'
      ? [finding('CACHE_NOT_SHARED', where, `${to.label} still says that it has ${stored} and deleted there`)]
      : []),
  ];
}

function judgeDelete(from: Node, deleted: Deleted | undefined): Finding[] {
  if (deleted === undefined || ('status' in deleted && deleted.status === 202)) return [];
  const how = 'status' in deleted ? `answered ${deleted.status}` : `got no answer: ${quoted(from, deleted.reason)}`;
  return [finding('DELETE', from.label, `DELETE of a blob ${how}`)];
}
