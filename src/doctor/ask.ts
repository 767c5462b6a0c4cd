import { request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { openTcp, openTls, openTrusted, StepFailed } from './connection.ts';
import { basic, STEP_MS, type Node } from './node.ts';

/** A registry replies to the doctor's questions with some hundred bytes; its /debug/vars has some kilobytes. */
const LARGEST_BODY_BYTES = 256 << 10;
const LARGEST_HEADER_BYTES = 16 << 10;

export type Question = {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Path and query alone: where a Location leads to another host, the doctor asks the node that it audits. */
  readonly path: string;
  /** Default: 'user', which is 'anonymous' where the doctor has no credentials. */
  readonly as?: 'anonymous' | 'user';
  readonly body?: Buffer;
};

/** What a node replied, of whatever status. */
export type Reply = {
  readonly kind: 'reply';
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** From the request on an open connection to the last byte of the reply. */
  readonly tookMs: number;
  /** When the headers came, by the clock of this machine, in milliseconds since 1970. */
  readonly atMs: number;
};
/** Why a node did not reply, or not as HTTP. `reason` is in words for an operator and may repeat what the node sent. */
export type Silence = {
  readonly kind: 'silence';
  readonly step: StepFailed['step'];
  readonly reason: string;
  readonly timedOut: boolean;
};
export type Heard = Reply | Silence;

/**
 * One question over TLS on a connection of its own. The password goes with the question only where the node proves to
 * be the cluster's; another node is Silence. Ends within STEP_MS and never rejects.
 */
export function ask(node: Node, question: Question): Promise<Heard> {
  const { credentials } = node.audience;
  const user = question.as === 'anonymous' ? undefined : credentials;
  const signal = AbortSignal.timeout(STEP_MS);
  return guarded(signal, async () => {
    const socket = await (user ? openTrusted(node, signal) : openTls(node, signal));
    try {
      return await exchange(socket, node.audience.authority, question, signal, user && basic(user));
    } finally {
      socket.destroy();
    }
  });
}

/** One question in clear, so it never carries a password. Ends within `withinMs` and never rejects. */
export function askInClear(
  to: Pick<Node, 'endpoint'>,
  authority: string,
  path: string,
  withinMs = STEP_MS,
): Promise<Heard> {
  const signal = AbortSignal.timeout(withinMs);
  return guarded(signal, async () => {
    const socket = await openTcp(to, signal);
    try {
      return await exchange(socket, authority, { path }, signal);
    } finally {
      socket.destroy();
    }
  });
}

/**
 * Several questions, one after another, on one connection; `heard` gets each reply. Ends with the first question that
 * gets no reply, at the latest after `withinMs`, and never rejects.
 */
export async function askInTurn(
  node: Node,
  withinMs: number,
  questions: Iterable<Question>,
  heard: (question: Question, reply: Reply) => void,
): Promise<void> {
  const { credentials, authority } = node.audience;
  const signal = AbortSignal.timeout(withinMs);
  await guarded(signal, async () => {
    const socket = await (credentials ? openTrusted(node, signal) : openTls(node, signal));
    // Each question adds a listener to this socket: Node would warn of a leak after the tenth, and there is no leak.
    socket.setMaxListeners(0);
    try {
      for (const question of questions) {
        const user = question.as === 'anonymous' ? undefined : credentials;
        heard(question, await exchange(socket, authority, question, signal, user && basic(user), 'keep-alive'));
      }
    } finally {
      socket.destroy();
    }
  });
}

async function guarded<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T | Silence> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof StepFailed)
      return { kind: 'silence', step: error.step, reason: error.message, timedOut: signal.aborted };
    return { kind: 'silence', step: 'http', reason: httpReason(error, signal), timedOut: signal.aborted };
  }
}

function httpReason(error: unknown, signal: AbortSignal): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (signal.aborted) return `no whole answer within ${STEP_MS / 1_000} s`;
  if (code === 'HPE_HEADER_OVERFLOW') return `its headers are longer than ${LARGEST_HEADER_BYTES >> 10} KiB`;
  if (code.startsWith('HPE_')) return 'the answer is not HTTP';
  if (code.includes('CERTIFICATE_REQUIRED')) return 'it asks clients for a certificate';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed before the whole answer was there';
  return code || message;
}

async function exchange(
  socket: Socket,
  host: string,
  { method = 'GET', path, body }: Question,
  signal: AbortSignal,
  authorization?: string,
  connection: 'close' | 'keep-alive' = 'close',
): Promise<Reply> {
  const started = performance.now();
  const call = request({
    // With any `agent`, even `false`, Node would not call createConnection and would connect by itself.
    createConnection: () => socket,
    method,
    path,
    maxHeaderSize: LARGEST_HEADER_BYTES,
    signal,
    headers: {
      host,
      'user-agent': 'berth-doctor',
      connection,
      ...(authorization === undefined ? {} : { authorization: `Basic ${authorization}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': body.length }),
      ...(body === undefined && method !== 'GET' && method !== 'HEAD' ? { 'content-length': 0 } : {}),
    },
  });
  const coming = headersOf(call);
  call.end(body);
  const response = await coming;
  const atMs = Date.now();
  const { statusCode: status = 0, headers } = response;
  const content = await readCapped(response);
  return { kind: 'reply', status, headers, body: content, tookMs: performance.now() - started, atMs };
}

/** The status line and headers; Node tells those of a 101 by the event 'upgrade'. */
function headersOf(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.on('response', resolve).on('upgrade', resolve).on('error', reject);
  });
}

async function readCapped(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LARGEST_BODY_BYTES) {
      throw new StepFailed('http', `its answer is longer than ${LARGEST_BODY_BYTES >> 10} KiB`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The codes of a registry's error body (`{ "errors": [{ "code": … }] }`); empty where the body is something else. */
export function errorCodes({ body }: Reply): string[] {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { code?: unknown }[] };
    return Array.isArray(errors) ? errors.map((error) => String(error?.code)) : [];
  } catch {
    return [];
  }
}
