/** Servers on free ports of 127.0.0.1 that may be left in any state: all are gone when their owner is. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Parking } from '../../src/listeners/site.ts';

/** A test, or whatever else calls back at its end. */
export type Owner = { after(close: () => Promise<void>): void };

/** Starts `server` and tells its port. */
export async function listen(owner: Owner, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  owner.after(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** A TCP server that does `answer` with each connection. */
export function listenRaw(owner: Owner, answer: (socket: Socket) => void): Promise<number> {
  return listen(owner, createServer({ allowHalfOpen: true }, answer));
}

/** A port that nobody listens on. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Room for `most` parked connections, and how many there are. */
export function parking(most = 10): Parking & { parked: number } {
  return {
    parked: 0,
    enter() {
      if (this.parked >= most) return false;
      this.parked++;
      return true;
    },
    leave() {
      this.parked--;
    },
  };
}
