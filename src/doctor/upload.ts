import { ask, errorCodes, type Heard, type Reply } from './ask.ts';
import { finding, type Finding } from './findings.ts';
import { quoted, STEP_MS, type Audience, type Node } from './node.ts';
import { denied, isDenied } from './storage.ts';

/**
 * An upload session, which every node should be able to go on with. `path` is of the last Location, with a query in
 * which the registry keeps the state of the session, signed with http.secret.
 */
export type Session = { readonly repository: string; readonly path: string };

/** What came of the wish to begin an upload. `location` is as the node sent it; `reason` is in words. */
export type Started =
  | { readonly kind: 'started'; readonly session: Session; readonly location: string }
  | { readonly kind: 'not-started'; readonly reason: string; readonly status?: number };

/** What a node says of a session. */
export type Look =
  /** `size`: how many bytes the node says that the session has. */
  | { readonly kind: 'seen'; readonly session: Session; readonly size: number }
  /** The node does not accept the signature in the session's path, or expects another size. */
  | { readonly kind: 'invalid' }
  /** The node's storage has no such session. */
  | { readonly kind: 'unknown' }
  /** The node replied in another way, or not at all. */
  | { readonly kind: 'odd'; readonly reason: string; readonly timedOut: boolean };

/** Begins an upload. Ends within STEP_MS and never rejects; neither do the functions below. */
export async function startUpload(node: Node, repository: string): Promise<Started> {
  const heard = await ask(node, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` });
  if (heard.kind === 'silence') return { kind: 'not-started', reason: `got no answer: ${heard.reason}` };
  const { status } = heard;
  if (status !== 202) return { kind: 'not-started', reason: `answered ${statusAndCodes(heard)}`, status };
  const location = heard.headers.location ?? '';
  const session = sessionAt(node, repository, location);
  return session
    ? { kind: 'started', session, location }
    : { kind: 'not-started', reason: 'answered 202 with a Location that is no upload in that repository' };
}

/** The session at `location`, of which path and query count; undefined where it leads out of the repository. */
export function sessionAt({ audience }: Node, repository: string, location: string): Session | undefined {
  const base = `https://${audience.authority}`;
  if (location === '' || !URL.canParse(location, base)) return undefined;
  const { pathname, search } = new URL(location, base);
  return pathname.startsWith(`/v2/${repository}/blobs/uploads/`) ? { repository, path: pathname + search } : undefined;
}

/** Asks the node for the state of the session. */
export async function look(node: Node, session: Session): Promise<Look> {
  return lookOf(node, session, await ask(node, { path: session.path }));
}

/** Appends `body` to the session, through this node. */
export async function append(node: Node, session: Session, body: Buffer): Promise<Look> {
  return lookOf(node, session, await ask(node, { method: 'PATCH', path: session.path, body }));
}

function lookOf(node: Node, session: Session, heard: Heard): Look {
  if (heard.kind === 'silence') return { kind: 'odd', reason: heard.reason, timedOut: heard.timedOut };
  const { status, headers } = heard;
  if (status === 204 || status === 202) {
    const last = /(\d+)$/.exec(headers.range ?? '')?.[1];
    const next = sessionAt(node, session.repository, headers.location ?? '');
    // A registry says Range 0-0 of an empty session and of a session of one byte; the doctor never writes one byte
    // alone.
    return { kind: 'seen', session: next ?? session, size: Number(last ?? 0) === 0 ? 0 : Number(last) + 1 };
  }
  const codes = errorCodes(heard);
  if (codes.includes('BLOB_UPLOAD_INVALID')) return { kind: 'invalid' };
  if (codes.includes('BLOB_UPLOAD_UNKNOWN')) return { kind: 'unknown' };
  return { kind: 'odd', reason: `answered ${statusAndCodes(heard)}`, timedOut: false };
}

/** Deletes the session, whatever the node replies: a session that is gone already needs no more. */
export async function endUpload(node: Node, { path }: Session): Promise<void> {
  await ask(node, { method: 'DELETE', path });
}

/** The finding of a node on which no upload could begin, or whose Location leads elsewhere. */
export function judgeStart(label: string, audience: Audience, repository: string, started: Started): Finding[] {
  if (started.kind === 'started') return judgeLocation(label, audience, started.location);
  const what = `POST /v2/${repository}/blobs/uploads/`;
  if (isDenied(started.status)) return [denied(label, audience, `${what} answered ${started.status}`)];
  const reason = quoted({ audience }, started.reason);
  return [finding('UPLOAD_START', label, `${what} ${reason}`)];
}

/** A Location must lead clients to the public name, or be relative and leave them where they are. */
export function judgeLocation(label: string, audience: Audience, location: string): Finding[] {
  const wanted = new URL(`https://${audience.authority}`).origin;
  if (!URL.canParse(location, wanted) || new URL(location, wanted).origin === wanted) return [];
  const { origin } = new URL(location, wanted);
  return [finding('LOCATION_HOST', label, `it sends uploads on to ${quoted({ audience }, origin)}, not to ${wanted}`)];
}

/** The finding of a node that replied oddly about a session; `what` says which request it was. */
export function judgeOdd(label: string, audience: Audience, what: string, odd: Look & { kind: 'odd' }): Finding[] {
  if (odd.timedOut) return [finding('STORAGE_HANG', label, `${what}: no answer within ${STEP_MS / 1_000} s`)];
  return [finding('STORAGE_ERROR', label, `${what}: ${quoted({ audience }, odd.reason)}`)];
}

/** `404 (BLOB_UNKNOWN)`: the status and the first codes of a registry's error. */
export function statusAndCodes(reply: Reply): string {
  const codes = errorCodes(reply).slice(0, 3).join(', ');
  return codes === '' ? String(reply.status) : `${reply.status} (${codes})`;
}
