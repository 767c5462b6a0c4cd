import { askInClear } from './ask.ts';
import { certificateSeen, type CertificateSeen } from './certificate.ts';
import { openTls, StepFailed } from './connection.ts';
import { finding, type Finding } from './findings.ts';
import { STEP_MS, type Node } from './node.ts';

/** Whether a node can be reached over TLS, and what stands in the way: `no-certificate` is a lack of the doctor's. */
export type Reached =
  | { readonly kind: 'reached'; readonly certificate: CertificateSeen }
  | { readonly kind: 'no-tcp'; readonly reason: string }
  | { readonly kind: 'no-certificate'; readonly reason: string }
  | { readonly kind: 'no-tls'; readonly reason: string; readonly plainHttp: boolean };

/** A server of plain HTTP replies at once, so this is long enough. */
const PLAIN_MS = 3_000;

/** Connects, shakes hands, and hangs up. Ends within STEP_MS + PLAIN_MS and never rejects. */
export async function reach(node: Node): Promise<Reached> {
  const signal = AbortSignal.timeout(STEP_MS);
  try {
    const socket = await openTls(node, signal);
    const certificate = certificateSeen(socket, node.audience);
    socket.destroy();
    return certificate
      ? { kind: 'reached', certificate }
      : { kind: 'no-tls', reason: 'it shows no certificate', plainHttp: false };
  } catch (error) {
    const reason = (error as Error).message;
    if (error instanceof StepFailed && error.step === 'tcp')
      return { kind: 'no-tcp', reason: signal.aborted ? `no answer within ${STEP_MS / 1_000} s` : reason };
    if (error instanceof StepFailed && error.fault?.kind === 'client-certificate')
      return { kind: 'no-certificate', reason };
    return { kind: 'no-tls', reason, plainHttp: await speaksPlainHttp(node) };
  }
}

async function speaksPlainHttp(node: Node): Promise<boolean> {
  const heard = await askInClear(node, node.audience.authority, '/v2/', PLAIN_MS);
  // A TLS server of Go's net/http replies to plain HTTP with a 400 in plain HTTP that speaks of an "HTTPS server".
  return heard.kind === 'reply' && !(heard.status === 400 && heard.body.includes('HTTPS server'));
}

/** The finding of a node that cannot be reached. */
export function judgeReached(label: string, reached: Reached): Finding[] {
  switch (reached.kind) {
    case 'reached':
      return [];
    case 'no-tcp':
      return [finding('TCP', label, reached.reason)];
    case 'no-certificate':
      return [finding('CLIENT_CERT', label, reached.reason)];
    case 'no-tls':
      return reached.plainHttp
        ? [finding('TLS_PLAIN_HTTP', label, 'it answers plain HTTP where clients speak TLS')]
        : [finding('TLS_HANDSHAKE', label, `the TLS handshake failed: ${reached.reason}`)];
    default:
      return reached satisfies never;
  }
}
