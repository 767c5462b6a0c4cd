import { request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** Of an answer. */
export const LARGEST_HEADER_BYTES = 16 << 10;

/** One request on a connection that stands already. */
export type Inquiry = {
  readonly method?: string;
  readonly path: string;
  /** The Host header. */
  readonly host: string;
  readonly agent: 'berth' | 'berth-doctor';
  readonly authorization?: string | undefined;
  readonly body?: Buffer | undefined;
  readonly keepAlive?: boolean;
  /** How much of the body of such an answer is read; the body of an answer that is longer is not `whole`. */
  readonly mostBytes: (status: number) => number;
};

/** A status other than 200 is an answer, too. */
export type Answer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly whole: boolean;
  /** When the headers came, in milliseconds since 1970. */
  readonly atMs: number;
};

/**
 * Asks, and reads the answer. Leaves the socket to the caller, who destroys it. Rejects with the socket's or the
 * parser's error, or when `signal` aborts.
 */
export async function exchange(socket: Socket, inquiry: Inquiry, signal: AbortSignal): Promise<Answer> {
  const { method = 'GET', path, host, agent, authorization, body, keepAlive = false } = inquiry;
  const call = request({
    // With any `agent`, even `false`, Node would not call createConnection and would connect by itself.
    createConnection: () => socket,
    method,
    path,
    maxHeaderSize: LARGEST_HEADER_BYTES,
    signal,
    headers: {
      host,
      'user-agent': agent,
      connection: keepAlive ? 'keep-alive' : 'close',
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': body.length }),
      ...(body === undefined && method !== 'GET' && method !== 'HEAD' ? { 'content-length': 0 } : {}),
    },
  });
  const coming = headersOf(call);
  call.end(body);
  const response = await coming;
  const atMs = Date.now();
  const { statusCode: status = 0, headers } = response;
  return { status, headers, atMs, ...(await readUpTo(inquiry.mostBytes(status), response)) };
}

/** The status line and headers; Node tells those of a 101 by the event 'upgrade'. */
function headersOf(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.on('response', resolve).on('upgrade', resolve).on('error', reject);
  });
}

async function readUpTo(mostBytes: number, response: IncomingMessage): Promise<{ body: Buffer; whole: boolean }> {
  if (mostBytes === 0) return { body: Buffer.alloc(0), whole: false };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > mostBytes) return { body: Buffer.concat(chunks).subarray(0, mostBytes), whole: false };
  }
  return { body: Buffer.concat(chunks), whole: true };
}
