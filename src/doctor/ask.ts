import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { exchange, type Inquiry } from '../pool/probe/exchange.ts';
import { httpFault, tlsFault, type Fault } from '../pool/probe/faults.ts';
import { openTcp, openTls, openTrusted, StepFailed } from './connection.ts';
import { basic, STEP_MS, type Node } from './node.ts';

/** A registry replies to the doctor's questions with some hundred bytes; its /debug/vars has some kilobytes. */
const LARGEST_BODY_BYTES = 256 << 10;

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
  /** What the table of faults says, if the fault is in the table. */
  readonly fault?: Fault | undefined;
};
export type Heard = Reply | Silence;

/**
 * One question over TLS on a connection of its own. The password or a token goes with the question only where the node
 * proves to be the cluster's; another node is Silence. Ends within STEP_MS, a token server's answer apart, and never
 * rejects.
 */
export async function ask(node: Node, asked: Question): Promise<Heard> {
  const login = await loginFor(node, asked);
  if (login !== undefined && typeof login !== 'string') return login;
  const signal = AbortSignal.timeout(STEP_MS);
  return guarded(node.audience, signal, async () => {
    const socket = await (login === undefined ? openTls(node, signal) : openTrusted(node, signal));
    try {
      return await question(socket, node.audience.authority, asked, signal, login);
    } finally {
      socket.destroy();
    }
  });
}

/** What the node asks strangers for, heard on a connection on which the node has proved to be the cluster's. */
export function askForChallenge(node: Node): Promise<Heard> {
  const signal = AbortSignal.timeout(STEP_MS);
  return guarded(node.audience, signal, async () => {
    const socket = await openTrusted(node, signal);
    try {
      return await question(socket, node.audience.authority, { path: '/v2/' }, signal);
    } finally {
      socket.destroy();
    }
  });
}

/** The Authorization header of a question; undefined for strangers, Silence where no token is to be had. */
async function loginFor({ audience, challenge }: Node, asked: Question): Promise<string | Silence | undefined> {
  const { credentials, tokens } = audience;
  if (asked.as === 'anonymous' || !credentials) return undefined;
  if (!challenge || !tokens) return `Basic ${basic(credentials)}`;
  const fetched = await tokens.get(challenge, asked.path);
  if (fetched.kind === 'token') return `Bearer ${fetched.token}`;
  return { kind: 'silence', step: 'http', reason: fetched.reason, timedOut: false };
}

/** One question in clear, so it never carries a password. Ends within `withinMs` and never rejects. */
export function askInClear(
  to: Pick<Node, 'endpoint'>,
  authority: string,
  path: string,
  withinMs = STEP_MS,
): Promise<Heard> {
  const signal = AbortSignal.timeout(withinMs);
  return guarded({}, signal, async () => {
    const socket = await openTcp(to, signal);
    try {
      return await question(socket, authority, { path }, signal);
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
  await guarded(node.audience, signal, async () => {
    const socket = await (credentials ? openTrusted(node, signal) : openTls(node, signal));
    // Each question adds a listener to this socket: Node would warn of a leak after the tenth, and there is no leak.
    socket.setMaxListeners(0);
    try {
      for (const asked of questions) {
        const login = asked.as === 'anonymous' || !credentials ? undefined : `Basic ${basic(credentials)}`;
        heard(asked, await question(socket, authority, asked, signal, login, true));
      }
    } finally {
      socket.destroy();
    }
  });
}

type Shown = Pick<Node['audience'], 'clientCertificate'>;

async function guarded<T>(shown: Shown, signal: AbortSignal, step: () => Promise<T>): Promise<T | Silence> {
  try {
    return await step();
  } catch (error) {
    const timedOut = signal.aborted;
    if (error instanceof StepFailed)
      return { kind: 'silence', step: error.step, reason: error.message, timedOut, fault: error.fault };
    const within = `no whole answer within ${STEP_MS / 1_000} s`;
    if (timedOut) return { kind: 'silence', step: 'http', reason: within, timedOut };
    const fault = httpFault(error as Error) ?? tlsFault(error as Error, shown.clientCertificate !== undefined);
    return { kind: 'silence', step: 'http', reason: fault?.what ?? 'the connection broke', timedOut, fault };
  }
}

async function question(
  socket: Socket,
  host: string,
  { method = 'GET', path, body }: Question,
  signal: AbortSignal,
  authorization?: string,
  keepAlive = false,
): Promise<Reply> {
  const started = performance.now();
  const inquiry: Inquiry = {
    method,
    path,
    host,
    authorization,
    body,
    keepAlive,
    agent: 'berth-doctor',
    mostBytes: () => LARGEST_BODY_BYTES,
  };
  const { whole, ...answer } = await exchange(socket, inquiry, signal);
  if (!whole) throw new StepFailed('http', `its answer is longer than ${LARGEST_BODY_BYTES >> 10} KiB`);
  return { kind: 'reply', ...answer, tookMs: performance.now() - started };
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
