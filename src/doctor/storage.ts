import { ask, errorCodes, type Heard } from './ask.ts';
import { finding, type Finding } from './findings.ts';
import { quoted, STEP_MS, type Audience, type Node } from './node.ts';

export type StorageSeen = { readonly path: string; readonly heard: Heard };

const SLOW_MS = 1_000;

/** Asks for a tag list, which a registry can only answer by asking its storage. Never rejects. */
export async function lookAtStorage(node: Node, repository: string): Promise<StorageSeen> {
  const path = `/v2/${repository}/tags/list`;
  return { path, heard: await ask(node, { path }) };
}

/** The findings of one node. `loginMs`: how much of the time went into checking the password, not into the storage. */
export function judgeStorage(label: string, audience: Audience, { path, heard }: StorageSeen, loginMs = 0): Finding[] {
  if (heard.kind === 'silence') {
    return heard.timedOut
      ? [finding('STORAGE_HANG', label, `GET ${path}: no answer within ${STEP_MS / 1_000} s, where /v2/ answers`)]
      : [finding('STORAGE_ERROR', label, `GET ${path}: ${quoted({ audience }, heard.reason)}`)];
  }
  if (!storageAnswers({ path, heard })) {
    if (isDenied(heard.status)) return [denied(label, audience, `GET ${path} answered ${heard.status}`)];
    const codes = errorCodes(heard).slice(0, 3).join(', ');
    const shown = codes === '' ? '' : ` (${quoted({ audience }, codes)})`;
    return [finding('STORAGE_ERROR', label, `GET ${path} answered ${heard.status}${shown}`)];
  }
  const tookMs = heard.tookMs - loginMs;
  if (tookMs <= SLOW_MS) return [];
  return [finding('STORAGE_SLOW', label, `GET ${path} took ${(tookMs / 1_000).toFixed(1)} s`)];
}

/** Statuses that tell of the user, and not of the storage: who asks has shown before that the login is good. */
export function isDenied(status: number | undefined): boolean {
  return status === 401 || status === 403;
}

export function denied(label: string, audience: Audience, seen: string): Finding {
  return finding(
    'REPOSITORY_DENIED',
    label,
    `${seen} to ${quoted({ audience }, audience.credentials?.user ?? 'anybody')}`,
  );
}

/** Whether the storage is there. A registry says NAME_UNKNOWN only after it has asked its storage. */
export function storageAnswers({ heard }: StorageSeen): boolean {
  if (heard.kind === 'silence') return false;
  return heard.status === 200 || (heard.status === 404 && errorCodes(heard).includes('NAME_UNKNOWN'));
}
