import { ask, errorCodes, type Answer, type Silence } from './ask.ts';
import { finding, type Finding } from './findings.ts';
import { quoted, STEP_MS, type Audience, type Node } from './node.ts';

export type StorageSeen = { readonly path: string; readonly answer: Answer | Silence };

const SLOW_MS = 1_000;

/** The one question of a reader that cannot be answered without the storage. */
export async function lookAtStorage(node: Node, repository: string): Promise<StorageSeen> {
  const path = `/v2/${repository}/tags/list`;
  return { path, answer: await ask(node, { path }) };
}

/** `loginMs`: what of the time is the login's. */
export function judgeStorage(label: string, audience: Audience, { path, answer }: StorageSeen, loginMs = 0): Finding[] {
  if (answer.kind === 'silence') {
    return answer.timedOut
      ? [finding('STORAGE_HANG', label, `GET ${path}: no answer within ${STEP_MS / 1_000} s, where /v2/ answers`)]
      : [finding('STORAGE_ERROR', label, `GET ${path}: ${quoted({ audience }, answer.reason)}`)];
  }
  if (!storageAnswers({ path, answer })) {
    const codes = errorCodes(answer).slice(0, 3).join(', ');
    const shown = codes === '' ? '' : ` (${quoted({ audience }, codes)})`;
    return [finding('STORAGE_ERROR', label, `GET ${path} answered ${answer.status}${shown}`)];
  }
  const tookMs = answer.tookMs - loginMs;
  if (tookMs <= SLOW_MS) return [];
  return [finding('STORAGE_SLOW', label, `GET ${path} took ${(tookMs / 1_000).toFixed(1)} s`)];
}

/** A repository that does not exist is a good answer: the storage was asked and said so. */
export function storageAnswers({ answer }: StorageSeen): boolean {
  if (answer.kind === 'silence') return false;
  return answer.status === 200 || (answer.status === 404 && errorCodes(answer).includes('NAME_UNKNOWN'));
}
