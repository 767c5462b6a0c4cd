import { setTimeout as sleep } from 'node:timers/promises';
import { finding, type Finding } from './findings.ts';
import { quoted, type Node } from './node.ts';
import { endUpload, startUpload, type Started } from './upload.ts';

/** How a node that would not begin an upload where another has just begun one goes on. `laterMs`: after how long it would. */
export type GroundSeen = { readonly node: Node; readonly refusal: string; readonly laterMs?: number };

const RETRY_MS = 1_000;
/** Longer than mounts are usually told to remember. */
const LONGEST_MS = 35_000;

/**
 * Lets each node begin an upload in one repository, and end it: from then on every node knows the folders that all uploads are
 * below. In a storage that nobody has ever pushed to they are not there, each node has just looked for them in vain, and one whose
 * mount remembers that can neither see what another makes there nor make it itself: it answers 500. Without this its storage would
 * look as if it were not shared. Such a node is waited for, patient or not: only time tells it from one that cannot write at all.
 */
export async function findGround(
  nodes: readonly Node[],
  repository: string,
  signal: AbortSignal,
  progress: (step: string) => void,
): Promise<GroundSeen[]> {
  if (nodes.length < 2) return [];
  const began = await Promise.all(nodes.map(async (node) => ({ node, start: await begin(node, repository) })));
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
  return Promise.all(refusing.map((one) => tryAgain(one, repository, signal)));
}

async function tryAgain(one: GroundSeen, repository: string, signal: AbortSignal): Promise<GroundSeen> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < LONGEST_MS) {
    await sleep(RETRY_MS, undefined, { signal });
    const start = await begin(one.node, repository);
    if (start.kind === 'started') return { ...one, laterMs: performance.now() - startedAt };
  }
  return one;
}

async function begin(node: Node, repository: string): Promise<Started> {
  const start = await startUpload(node, repository);
  if (start.kind === 'started') await endUpload(node, start.session);
  return start;
}

/** Of a node that never began one its own uploads tell. */
export function judgeGround({ node, refusal, laterMs }: GroundSeen): Finding[] {
  if (laterMs === undefined) return [];
  const seen = `where another node had just begun an upload, ${node.label} ${quoted(node, refusal)}, and began one ${(laterMs / 1_000).toFixed(1)} s later only`;
  return [finding('STORAGE_LAG', node.label, seen)];
}
