import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connectFailure } from '../pool/failures.ts';
import { handshakeFault, type Fault } from '../pool/probe/faults.ts';
import { shakeHands } from '../pool/probe/secure.ts';
import { certificateSeen, mayTellSecrets } from './certificate.ts';
import type { Node } from './node.ts';

/** The step of a question that failed; the message says in words for an operator why. */
export class StepFailed extends Error {
  readonly step: 'tcp' | 'tls' | 'http';

  /** What the table of faults says of it, if it is one of TLS. */
  readonly fault: Fault | undefined;

  constructor(step: StepFailed['step'], message: string, cause?: unknown, fault?: Fault) {
    super(message, { cause });
    this.step = step;
    this.fault = fault;
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
  const { name, authorities, clientCertificate, secureContext } = node.audience;
  try {
    const material = secureContext ? { secureContext: secureContext() } : { ca: authorities, ...clientCertificate };
    return await shakeHands(socket, { name, ...material }, signal);
  } catch (error) {
    if (signal.aborted) throw new StepFailed('tls', 'no answer to the handshake', error);
    const fault = handshakeFault(error as Error, clientCertificate !== undefined);
    throw new StepFailed('tls', fault.what, error, fault);
  }
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
