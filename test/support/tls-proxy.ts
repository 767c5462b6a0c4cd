/**
 * A TLS reverse proxy in front of a node, which lies where a test wants it to; and TLS servers that say what they like.
 */
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, request as ask } from 'node:https';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Cluster } from './cluster.ts';
import { listen } from './listening.ts';

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
  return listenBeside(cluster, server);
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
  return listenBeside(cluster, server);
}

/** A server that lives as long as the cluster. */
export function listenBeside(cluster: Cluster, server: Server): Promise<number> {
  return listen({ after: (close) => cluster.workspace.onClose(close) }, server);
}

async function read(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
