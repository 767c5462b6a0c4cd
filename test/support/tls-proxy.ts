/** A TLS reverse proxy in front of a node, which lies where a test wants it to; and TLS servers that say what they like. */
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, request as ask } from 'node:https';
import type { AddressInfo, Server as TcpServer, Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Cluster } from './cluster.ts';

export type Asked = { readonly method: string; readonly path: string; readonly headers: IncomingHttpHeaders };
export type Told = { status: number; headers: IncomingHttpHeaders; body: Buffer };
/** Asks the node behind; may be called with another question. */
export type Behind = (asked: Asked, body?: Buffer) => Promise<Told>;
export type Lie = (asked: Asked, behind: () => Promise<Told>, anything: Behind) => Promise<Told>;

/** Returns its port; it lives as long as the cluster. */
export async function proxyBefore(cluster: Cluster, port: number, lie: Lie): Promise<number> {
  const { certificate, key } = await cluster.certificate('good');
  const behind: Behind = ({ method, path, headers }, body = Buffer.alloc(0)) =>
    new Promise((resolve, reject) => {
      const call = ask({ port, host: '127.0.0.1', method, path, headers, rejectUnauthorized: false, agent: false });
      call.once('error', reject);
      call.once('response', (response) => {
        const { statusCode: status = 0, headers: told } = response;
        read(response).then((content) => resolve({ status, headers: told, body: content }), reject);
      });
      call.end(body);
    });
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    void (async () => {
      const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers };
      const body = await read(request);
      const { status, headers, body: content } = await lie(asked, () => behind(asked, body), behind);
      response.writeHead(status, headers);
      response.end(content);
    })().catch(() => response.destroy());
  });
  return listen(cluster, server);
}

/** Speaks TLS with the cluster's good certificate, and then does as it is told. `raw`: the connection under the TLS. */
export async function hostileServer(
  cluster: Cluster,
  speak: (socket: TLSSocket, raw: Socket | undefined) => void,
): Promise<number> {
  const { certificate, key } = await cluster.certificate('good');
  const raw = new Map<number | undefined, Socket>();
  const server = createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (socket) => {
    socket.on('error', () => {});
    speak(socket, raw.get(socket.remotePort));
  });
  server.on('connection', (socket: Socket) => raw.set(socket.remotePort, socket));
  return listen(cluster, server);
}

export async function listen(cluster: Cluster, server: TcpServer): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cluster.workspace.onClose(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) socket.destroy();
    await closed;
  });
  return (server.address() as AddressInfo).port;
}

async function read(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
