import type { Socket } from 'node:net';
import { connectFailure, type ConnectFailure } from '../pool/failures.ts';

export type Dialled =
  | { readonly kind: 'connected'; readonly seconds: number }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }
  | { readonly kind: 'abandoned' };

export type Dial = {
  /** Settles once, within the timeout; the socket is destroyed unless it connected. */
  readonly outcome: Promise<Dialled>;
  /** Gives up: the outcome is 'abandoned' unless it is settled already. */
  abandon(): void;
};

/** Waits for a socket that is connecting. Call it in the tick in which the socket was made. */
export function dial(socket: Socket, timeoutMs: number): Dial {
  const startedMs = performance.now();
  let settle!: (dialled: Dialled) => void;
  const outcome = new Promise<Dialled>((resolve) => {
    settle = (dialled) => {
      clearTimeout(timer);
      socket.off('connect', onConnect);
      if (dialled.kind !== 'connected') socket.destroy();
      resolve(dialled);
    };
  });
  const onConnect = (): void => settle({ kind: 'connected', seconds: (performance.now() - startedMs) / 1_000 });
  const timer = setTimeout(
    () => settle({ kind: 'failed', failure: { reason: 'timeout', text: 'connect timed out' } }),
    timeoutMs,
  );
  socket.once('connect', onConnect);
  // Stays for good: a late error of a socket that was given up must not become an uncaught one.
  socket.on('error', (error) => settle({ kind: 'failed', failure: connectFailure(error) }));
  return { outcome, abandon: () => settle({ kind: 'abandoned' }) };
}
