import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { formatEndpoint, type Endpoint } from '../config/values.ts';
import { openTcp } from '../doctor/connection.ts';
import { bearerChallenge } from '../pool/probe/challenge.ts';
import { exchange, type Answer } from '../pool/probe/exchange.ts';
import { badRequestFault, handshakeFault, httpFault, tlsFault, type Fault } from '../pool/probe/faults.ts';
import { shakeHands } from '../pool/probe/secure.ts';
import type { CertificateSeen, Login, Seen, Spoken } from './seen.ts';

/** Where to look, and the name that checks will have for it, in SNI and in the Host header. */
export type Target = { readonly endpoint: Endpoint; readonly name: string };

/** A repository that need not exist: of one that does not, a registry says so after it has asked its storage. */
export const REPOSITORY = 'berth/probe';

/** Each question ends within this time; a server that is asked all of them has four. */
const STEP_MS = 3_000;
/** Of such answers something in the body counts; the page of a web server may have any length. */
const TELLS: readonly number[] = [200, 400, 401, 404];
const MOST_BYTES = 64 << 10;

type Heard =
  | { readonly kind: 'answer'; readonly answer: Answer; readonly certificate: CertificateSeen | undefined }
  | { readonly kind: 'away'; readonly reason: string }
  | {
      readonly kind: 'fault';
      readonly fault: Fault | undefined;
      /** It has not answered in time. */
      readonly silent: boolean;
      /** Of a handshake that went well before the fault. */
      readonly certificate: CertificateSeen | undefined;
    };
type Ask = (path: string) => Promise<Heard>;

/** Asks as a stranger who changes nothing, over TLS and, where there is none, in clear. Never rejects. */
export async function look(target: Target, trust: SecureContext): Promise<Seen> {
  const overTls: Ask = (path) => get(target, path, trust);
  const first = await overTls('/v2/');
  if (first.kind === 'away') return first;
  if (first.certificate) return { kind: 'heard', tls: first.certificate, spoken: await spokenIn(first, overTls) };
  if (first.kind === 'fault' && first.fault?.kind === 'client-certificate')
    return { kind: 'heard', tls: 'refused', spoken: { kind: 'wants-certificate' } };
  const inClear: Ask = (path) => get(target, path);
  const second = await inClear('/v2/');
  if (second.kind === 'away') return second;
  if (faultOf(second)?.kind === 'tls-expected' || (second.kind === 'fault' && faultOf(first)?.kind === 'handshake'))
    return { kind: 'heard', tls: 'refused', spoken: { kind: 'unknown', why: why(first) } };
  if (isSilent(first) && isSilent(second)) return { kind: 'silent' };
  return { kind: 'heard', tls: undefined, spoken: await spokenIn(second, inClear) };
}

async function get({ endpoint, name }: Target, path: string, trust?: SecureContext): Promise<Heard> {
  const signal = AbortSignal.timeout(STEP_MS);
  let socket: Socket;
  try {
    socket = await openTcp({ endpoint }, signal);
  } catch (error) {
    return { kind: 'away', reason: (error as Error).message };
  }
  let certificate: CertificateSeen | undefined;
  try {
    if (trust) {
      const secure = await shakeHands(socket, { name, secureContext: trust }, signal);
      socket = secure;
      certificate = certificateOf(secure);
    }
    const host = formatEndpoint({ host: name, port: endpoint.port });
    const mostBytes = (status: number): number => (TELLS.includes(status) ? MOST_BYTES : 0);
    const answer = await exchange(socket, { path, host, agent: 'berth', mostBytes }, signal);
    return { kind: 'answer', answer, certificate };
  } catch (error) {
    if (signal.aborted) return { kind: 'fault', fault: undefined, silent: true, certificate };
    const isShaken = trust === undefined || certificate !== undefined;
    const fault = isShaken
      ? (httpFault(error as Error) ?? tlsFault(error as Error, false))
      : handshakeFault(error as Error, false);
    return { kind: 'fault', fault, silent: false, certificate };
  } finally {
    socket.destroy();
  }
}

async function spokenIn(heard: Heard, ask: Ask): Promise<Spoken> {
  if (faultOf(heard)?.kind === 'client-certificate') return { kind: 'wants-certificate' };
  if (heard.kind !== 'answer') return { kind: 'unknown', why: why(heard) };
  const { answer } = heard;
  if (!isRegistry(answer)) {
    const root = await ask('/');
    return { kind: 'http', v2: answer.status, root: root.kind === 'answer' ? root.answer.status : undefined };
  }
  const login = loginOf(answer);
  return { kind: 'registry', login, storage: login.kind === 'none' ? await storageOf(ask) : undefined };
}

/** By the header of a registry, or else by the JSON that the specification has for both answers. */
function isRegistry({ status, headers, body }: Answer): boolean {
  if (status !== 200 && status !== 401) return false;
  if (String(headers['docker-distribution-api-version'] ?? '').startsWith('registry/2')) return true;
  try {
    const json: unknown = JSON.parse(body.toString());
    if (typeof json !== 'object' || json === null || Array.isArray(json)) return false;
    return status === 200 || 'errors' in json;
  } catch {
    return false;
  }
}

function loginOf({ status, headers }: Answer): Login {
  if (status === 200) return { kind: 'none' };
  const challenge = headers['www-authenticate']?.trim();
  const bearer = bearerChallenge(challenge);
  if (bearer) return { kind: 'token', realm: bearer.realm };
  return { kind: /^basic\b/i.test(challenge ?? '') ? 'basic' : 'unknown' };
}

async function storageOf(ask: Ask): Promise<'answers' | (string & {})> {
  const path = `/v2/${REPOSITORY}/tags/list`;
  const heard = await ask(path);
  if (heard.kind !== 'answer') return `GET ${path}: ${why(heard)}`;
  const { status, body } = heard.answer;
  if (status === 200 || (status === 404 && body.includes('NAME_UNKNOWN'))) return 'answers';
  return `GET ${path} answered ${status}`;
}

function certificateOf(secure: TLSSocket): CertificateSeen | undefined {
  const certificate = secure.getPeerX509Certificate();
  // Node's types call `authorizationError` an Error; it holds the code that OpenSSL gave.
  const fault = (secure.authorizationError as unknown as string | null) ?? undefined;
  if (!certificate) return undefined;
  const { subjectAltName, fingerprint256, validTo } = certificate;
  const names = subjectAltName?.split(', ').map((one) => one.replace(/^IP Address:|^DNS:/, '')) ?? [];
  return { names, untilMs: Date.parse(validTo), fingerprint: fingerprint256, fault };
}

function faultOf(heard: Heard): Fault | undefined {
  if (heard.kind === 'fault') return heard.fault;
  if (heard.kind !== 'answer' || heard.answer.status !== 400) return undefined;
  return badRequestFault(heard.answer.body.toString('latin1'));
}

const isSilent = (heard: Heard): boolean => heard.kind === 'fault' && heard.silent;

function why(heard: Heard): string {
  if (heard.kind === 'away') return heard.reason;
  if (isSilent(heard)) return `no whole answer within ${STEP_MS / 1_000} s`;
  return faultOf(heard)?.what ?? 'the connection broke';
}
