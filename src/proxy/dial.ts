import type { Socket } from 'node:net';
import { connectFailure, type ConnectFailure } from '../pool/failures.ts';
import type { Gone } from './client.ts';

export type Dialled =
  | { readonly kind: 'connected'; readonly seconds: number }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }
  | { readonly kind: 'abandoned' };

/** A late error of a socket that was given up, or that is on its way to who will use it, is nobody's. */
const nobodys = (): void => {};

/**
 * Waits for a socket that is connecting, for `timeoutMs` at most; 'abandoned' if `gone` is aborted first. The socket is
 * destroyed unless it has connected. To be called in the tick in which the socket was made.
 */
export function dial(socket: Socket, timeoutMs: number, gone?: Gone): Promise<Dialled> {
  const startedMs = performance.now();
  return new Promise<Dialled>((resolve) => {
    const settle = (dialled: Dialled): void => {
      clearTimeout(timer);
      socket.off('connect', connected);
      gone?.removeEventListener('abort', abandon);
      if (dialled.kind !== 'connected') socket.destroy();
      // What was needed to dial would be kept for as long as the socket, which is half a kilobyte a connection.
      socket.on('error', nobodys).off('error', failed);
      resolve(dialled);
    };
    const connected = (): void => settle({ kind: 'connected', seconds: (performance.now() - startedMs) / 1_000 });
    const failed = (error: Error): void => settle({ kind: 'failed', failure: connectFailure(error) });
    const abandon = (): void => settle({ kind: 'abandoned' });
    const timer = setTimeout(
      () => settle({ kind: 'failed', failure: { reason: 'timeout', text: 'connect timed out' } }),
      timeoutMs,
    );
    socket.on('connect', connected);
    socket.on('error', failed);
    if (gone?.aborted === true) abandon();
    else gone?.addEventListener('abort', abandon);
  });
}
