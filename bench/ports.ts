/** Ports on 127.0.0.1. */
import { connect, createServer, type Server } from 'node:net';

/** Listens on a port the system chooses, and returns it. */
export function listenAnywhere(server: Server, backlog: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0, backlog }, () => {
      const address = server.address();
      if (address === null || typeof address === 'string') return reject(new Error('a TCP server without a port'));
      return resolve(address.port);
    });
  });
}

/** Ports that are free now, all different: each is held until all are found. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(servers.map((server) => listenAnywhere(server, 1)));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Whether something accepts connections on `port`. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.end();
      resolve(true);
    });
  });
}
