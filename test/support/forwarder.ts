import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Transform } from 'node:stream';

export interface Forwarder {
  /** On 127.0.0.1. */
  port: number;
  /** Who comes from now on is led to this port. */
  leadTo(port: number): void;
  close(): Promise<void>;
}

/**
 * Accepts on a port of 127.0.0.1 and goes on to `host:port` from `localAddress`: a client that cannot choose its own
 * address, such as skopeo, then comes from any address of 127.0.0.0/8. Passes half-closes on, and resets as resets. What
 * it passes on may be late by `delayMs`.
 */
export async function connectFrom(
  localAddress: string,
  port: number,
  { host = '127.0.0.1', delayMs = 0 }: { host?: string; delayMs?: number } = {},
): Promise<Forwarder> {
  const open = new Set<Socket>();
  let goal = port;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const target = connect({ port: goal, host, localAddress, allowHalfOpen: true, noDelay: true });
    for (const [one, other] of [[client, target] as const, [target, client] as const]) {
      open.add(one);
      if (delayMs === 0) one.pipe(other);
      else one.pipe(late(delayMs)).pipe(other);
      one.once('error', () => other.resetAndDestroy());
      one.once('close', () => open.delete(one));
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) socket.destroy();
    await closed;
  };
  return { port: (server.address() as AddressInfo).port, leadTo: (next) => void (goal = next), close };
}

/** Passes on what it gets, each part so much later. */
function late(delayMs: number): Transform {
  return new Transform({
    transform: (part, _, done) => void setTimeout(() => done(null, part), delayMs),
  });
}
