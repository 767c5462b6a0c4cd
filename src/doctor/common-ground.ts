import { setTimeout as sleep } from 'node:timers/promises';
import { finding, type Finding } from './findings.ts';
import { quoted, type Node } from './node.ts';
import { endUpload, startUpload, type Started } from './upload.ts';

/**
 * A node that refused to begin an upload in a repository where another node had just begun an upload. `laterMs`: after
 * how long the node no longer refused; without it, the node refused to the end.
 */
export type GroundSeen = { readonly node: Node; readonly refusal: string; readonly laterMs?: number };

const RETRY_MS = 1_000;
/** Longer than mounts are usually told to remember that a folder was missing. */
const LONGEST_MS = 35_000;

/**
 * Lets each node begin an upload in `repository` and end it, so that every node knows the folders that all uploads are
 * below; returns the nodes that refused. In a storage that nobody has ever pushed to, these folders are missing, and
 * each node has just looked for them in vain. Where a node's mount remembers that they were missing, the node can
 * neither see the folders that another node makes nor make them itself: it answers 500, and its storage would look as
 * if it were not shared. The audit waits for such a node, patient or not: only time tells it from a node that cannot
 * write at all. Rejects only when `signal` aborts, or `turn`, which is waited for before each node, rejects.
 */
export async function findGround(
  nodes: readonly Node[],
  repository: string,
  signal: AbortSignal,
  progress: (step: string) => void,
  turn?: () => Promise<void>,
): Promise<GroundSeen[]> {
  if (nodes.length < 2) return [];
  const began = await begunOn(nodes, repository, turn);
  if (!began.some(({ start }) => start.kind === 'started')) return [];
  const refusing = began.flatMap(({ node, start }) =>
    start.kind === 'not-started' && start.status !== undefined && start.status >= 500
      ? [{ node, refusal: start.reason }]
      : [],
  );
  if (refusing.length > 0) {
    const labels = refusing.map(({ node }) => node.label).join(', ');
    progress(`waiting up to ${LONGEST_MS / 1_000} s for uploads to begin on ${labels}`);
  }
  return Promise.all(refusing.map((refused) => tryAgain(refused, repository, signal)));
}

async function begunOn(
  nodes: readonly Node[],
  repository: string,
  turn: (() => Promise<void>) | undefined,
): Promise<{ node: Node; start: Started }[]> {
  const beginOn = async (node: Node) => ({ node, start: await begin(node, repository) });
  if (!turn) return Promise.all(nodes.map(beginOn));
  const began = [];
  for (const node of nodes) {
    await turn();
    began.push(await beginOn(node));
  }
  return began;
}

async function tryAgain(refused: GroundSeen, repository: string, signal: AbortSignal): Promise<GroundSeen> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < LONGEST_MS) {
    await sleep(RETRY_MS, undefined, { signal });
    const start = await begin(refused.node, repository);
    if (start.kind === 'started') return { ...refused, laterMs: performance.now() - startedAt };
  }
  return refused;
}

async function begin(node: Node, repository: string): Promise<Started> {
  const start = await startUpload(node, repository);
  if (start.kind === 'started') await endUpload(node, start.session);
  return start;
}

/** A node that refused to the end is judged by its own uploads instead (UPLOAD_START). */
export function judgeGround({ node, refusal, laterMs }: GroundSeen): Finding[] {
  if (laterMs === undefined) return [];
  const seen =
    `where another node had just begun an upload, ${node.label} ${quoted(node, refusal)}, ` +
    `and began one ${(laterMs / 1_000).toFixed(1)} s later only`;
  return [finding('STORAGE_LAG', node.label, seen)];
}
