import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { connectFailure } from '../pool/failures.ts';
import { certificateSeen, mayTellSecrets } from './certificate.ts';
import type { Node } from './node.ts';

/** The step of a question that failed; the message says in words for an operator why. */
export class StepFailed extends Error {
  readonly step: 'tcp' | 'tls' | 'http';

  constructor(step: StepFailed['step'], message: string, cause?: unknown) {
    super(message, { cause });
    this.step = step;
  }
}

/** A connected socket, which the caller destroys. Throws StepFailed. */
export async function openTcp({ endpoint }: Pick<Node, 'endpoint'>, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp({ ...endpoint, autoSelectFamily: false, signal });
  try {
    await once(socket, 'connect');
  } catch (error) {
    socket.destroy();
    const reason = signal.aborted ? 'no answer' : connectFailure(error as NodeJS.ErrnoException).text;
    throw new StepFailed('tcp', reason, error);
  }
  // Whoever reads the socket gets its errors; an error after the last read must not end the process.
  socket.on('error', () => {});
  return socket;
}

/** A socket over TLS, whatever certificate the node shows. The caller destroys it. Throws StepFailed. */
export async function openTls(node: Node, signal: AbortSignal): Promise<TLSSocket> {
  const socket = await openTcp(node, signal);
  const { name, authorities } = node.audience;
  const secure = connectTls({
    socket,
    ALPNProtocols: ['http/1.1'],
    ca: authorities,
    // The caller judges the certificate: every fault is a finding of its own, and none ends the audit of the node.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    ...(isIP(name) === 0 ? { servername: name } : {}),
  });
  secure.on('error', () => {});
  const stop = (): void => void secure.destroy(new Error('aborted'));
  signal.addEventListener('abort', stop, { once: true });
  secure.once('close', () => {
    signal.removeEventListener('abort', stop);
    socket.destroy();
  });
  try {
    await once(secure, 'secureConnect');
  } catch (error) {
    secure.destroy();
    socket.destroy();
    throw new StepFailed('tls', signal.aborted ? 'no answer to the handshake' : tlsReason(error as TlsError), error);
  }
  return secure;
}

/**
 * As `openTls`, but also throws where the password must not go to this node (`mayTellSecrets`): behind an address there
 * may by now be another node than the audit has judged.
 */
export async function openTrusted(node: Node, signal: AbortSignal): Promise<TLSSocket> {
  const secure = await openTls(node, signal);
  if (mayTellSecrets(certificateSeen(secure, node.audience))) return secure;
  secure.destroy();
  throw new StepFailed('tls', 'another certificate than before, which is not trusted');
}

type TlsError = Error & { reason?: string; code?: string };

/** Why a handshake failed, in words for an operator. */
function tlsReason({ message, reason, code }: TlsError): string {
  if (reason === 'wrong version number' || reason === 'packet length too long' || reason === 'http request')
    return 'what answers is not TLS';
  if (code === 'ECONNRESET') return 'closed during the handshake';
  return reason ?? message;
}
