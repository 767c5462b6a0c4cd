import { once } from 'node:events';
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { certificateFault, wrongNameFault, type Fault } from './faults.ts';

/** What this side of a handshake knows and shows. `name` goes along as SNI, unless it is an address. */
export type Handshake = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'secureContext'> & { readonly name: string };

/**
 * TLS over a connected socket, whatever certificate the peer shows: who calls this judges the certificate. Rejects with
 * the error of the handshake, or when `signal` aborts; the socket is then destroyed, else the caller destroys what this
 * resolves to.
 */
export async function shakeHands(
  socket: Socket,
  { name, ...material }: Handshake,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const secure = connect({
    socket,
    ALPNProtocols: ['http/1.1'],
    // The caller decides instead: the expiry date of a bad certificate is worth knowing, too.
    rejectUnauthorized: false,
    // The caller decides this, too: where the name is an address, Node would look for "localhost".
    checkServerIdentity: () => undefined,
    ...material,
    ...(isIP(name) === 0 ? { servername: name } : {}),
  });
  // An abort makes `secure` fail twice, through its socket and by `stop`: `once` hears the first error, and the second
  // must not end the process.
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
    throw error;
  }
  return secure;
}

/** What is wrong with the certificate that the peer has shown; undefined where it is trusted and is for `name`. */
export function identityFault(secure: TLSSocket, name: string): Fault | undefined {
  // Node's types call `authorizationError` an Error; it holds the code that OpenSSL gave.
  const code = secure.authorizationError as unknown as string | undefined;
  if (code) return certificateFault(code);
  const certificate = secure.getPeerCertificate();
  return checkServerIdentity(name, certificate) ? wrongNameFault(name, certificate.subjectaltname) : undefined;
}
