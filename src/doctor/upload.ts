import { ask, errorCodes, type Answer, type Silence } from './ask.ts';
import { finding, type Finding } from './findings.ts';
import { quoted, STEP_MS, type Audience, type Node } from './node.ts';

/** An upload session, which every node should be able to go on with. The path has the state that the registry signs. */
export type Session = { readonly repository: string; readonly path: string };

export type Started =
  | { readonly kind: 'started'; readonly session: Session; readonly location: string }
  | { readonly kind: 'not-started'; readonly reason: string; readonly status?: number };

/** What a node says of a session. `size`: how many bytes it has of it. */
export type Look =
  | { readonly kind: 'seen'; readonly session: Session; readonly size: number }
  /** The signature, or the size in it, is not what this node expects. */
  | { readonly kind: 'invalid' }
  /** Its storage has no such session. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'odd'; readonly reason: string; readonly timedOut: boolean };

export async function startUpload(node: Node, repository: string): Promise<Started> {
  const answer = await ask(node, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` });
  if (answer.kind === 'silence') return { kind: 'not-started', reason: `got no answer: ${answer.reason}` };
  const { status } = answer;
  if (status !== 202) return { kind: 'not-started', reason: `answered ${statusAndCodes(answer)}`, status };
  const location = answer.headers.location ?? '';
  const session = sessionAt(node, repository, location);
  return session
    ? { kind: 'started', session, location }
    : { kind: 'not-started', reason: 'answered 202 with a Location that is no upload in that repository' };
}

/** Of a Location only path and query count; one that leads out of the repository is none. */
function sessionAt(node: Node, repository: string, location: string): Session | undefined {
  const base = `https://${node.audience.authority}`;
  if (location === '' || !URL.canParse(location, base)) return undefined;
  const { pathname, search } = new URL(location, base);
  return pathname.startsWith(`/v2/${repository}/blobs/uploads/`) ? { repository, path: pathname + search } : undefined;
}

export async function look(node: Node, session: Session): Promise<Look> {
  return lookOf(node, session, await ask(node, { path: session.path }));
}

/** Appends to the session, through this node. */
export async function append(node: Node, session: Session, body: Buffer): Promise<Look> {
  return lookOf(node, session, await ask(node, { method: 'PATCH', path: session.path, body }));
}

function lookOf(node: Node, session: Session, answer: Answer | Silence): Look {
  if (answer.kind === 'silence') return { kind: 'odd', reason: answer.reason, timedOut: answer.timedOut };
  const { status, headers } = answer;
  if (status === 204 || status === 202) {
    const last = /(\d+)$/.exec(headers.range ?? '')?.[1];
    const next = sessionAt(node, session.repository, headers.location ?? '');
    // A session of no bytes is said to have the range 0-0; the doctor never writes a single byte.
    return { kind: 'seen', session: next ?? session, size: Number(last ?? 0) === 0 ? 0 : Number(last) + 1 };
  }
  const codes = errorCodes(answer);
  if (codes.includes('BLOB_UPLOAD_INVALID')) return { kind: 'invalid' };
  if (codes.includes('BLOB_UPLOAD_UNKNOWN')) return { kind: 'unknown' };
  return { kind: 'odd', reason: `answered ${statusAndCodes(answer)}`, timedOut: false };
}

/** That a session is gone already is well, too. */
export async function endUpload(node: Node, { path }: Session): Promise<void> {
  await ask(node, { method: 'DELETE', path });
}

export function judgeStart(label: string, audience: Audience, repository: string, started: Started): Finding[] {
  if (started.kind === 'started') return judgeLocation(label, audience, started.location);
  const reason = quoted({ audience }, started.reason);
  return [finding('UPLOAD_START', label, `POST /v2/${repository}/blobs/uploads/ ${reason}`)];
}

/** The origin that clients are sent to; a relative Location leaves them where they are. */
export function judgeLocation(label: string, audience: Audience, location: string): Finding[] {
  const wanted = new URL(`https://${audience.authority}`).origin;
  if (!URL.canParse(location, wanted) || new URL(location, wanted).origin === wanted) return [];
  const { origin } = new URL(location, wanted);
  return [finding('LOCATION_HOST', label, `it sends uploads on to ${quoted({ audience }, origin)}, not to ${wanted}`)];
}

/** A node whose storage hangs or fails where an upload is looked at. */
export function judgeOdd(label: string, audience: Audience, what: string, odd: Look & { kind: 'odd' }): Finding[] {
  if (odd.timedOut) return [finding('STORAGE_HANG', label, `${what}: no answer within ${STEP_MS / 1_000} s`)];
  return [finding('STORAGE_ERROR', label, `${what}: ${quoted({ audience }, odd.reason)}`)];
}

export function statusAndCodes(answer: Answer): string {
  const codes = errorCodes(answer).slice(0, 3).join(', ');
  return codes === '' ? String(answer.status) : `${answer.status} (${codes})`;
}
