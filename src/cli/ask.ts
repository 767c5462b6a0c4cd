import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { printable } from '../config/locate.ts';
import { loadAdmin } from '../config/load.ts';
import type { AdminConfig } from '../config/schema.ts';
import type { Bind } from '../config/values.ts';
import { lookUp, NameFault } from '../names/look-up.ts';

const ANSWER_MS = 10_000;
const API = '/api/v1/';
/** The most items that a page of a list may have. */
const PER_PAGE = 1000;
/** The loopback address at which to ask a balancer that listens on every address of both families, or of one. */
const ON_THIS_MACHINE: Readonly<Record<string, string>> = { '*': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' };

export type Row = Readonly<Record<string, unknown>>;
/** What is asked, by its name: `{ backend: 'b', page: 2 }`; what is undefined is not asked. */
export type Question = Readonly<Record<string, string | number | boolean | undefined>>;

/** The balancer cannot be asked. The message says what an operator can do. */
export class Unreachable extends Error {}

/** The balancer says no. */
export class Refusal extends Error {
  readonly status: number;
  readonly problems: readonly string[];

  constructor(status: number, body: unknown) {
    const { error, problems = [] } = isRow(body) ? (body as { error?: string; problems?: string[] }) : {};
    super(error ?? (problems.length > 0 ? 'the file has problems' : `the balancer answers ${status}`));
    this.status = status;
    this.problems = problems;
  }
}

/** A running balancer, at its admin address. */
export class AdminClient {
  readonly #admin: AdminConfig;
  readonly #answerMs: number;

  constructor(admin: AdminConfig, answerMs = ANSWER_MS) {
    this.#admin = admin;
    this.#answerMs = answerMs;
  }

  /**
   * The answer to `METHOD /api/v1/PATH`; a body that is a text is YAML. Throws Unreachable, or Refusal for a status
   * other than 200.
   */
  async ask(method: string, path: string, question: Question = {}, body?: object | string): Promise<unknown> {
    const signal = AbortSignal.timeout(this.#answerMs);
    return this.#orUnreachable(async () => {
      const response = await this.#send(method, `${API}${path}${queryOf(question)}`, signal, {}, body);
      return bodyOf(response);
    });
  }

  async get(path: string, question: Question = {}): Promise<Row> {
    return rowOf(await this.ask('GET', path, question));
  }

  /** A list, page by page: so much of it is in memory. */
  async *pages(path: string, question: Question = {}, perPage = PER_PAGE): AsyncGenerator<readonly Row[]> {
    for (let page = 1; ; page++) {
      const { items, pages } = await this.get(path, { ...question, page, perPage });
      yield rowsOf(items);
      if (typeof pages !== 'number' || page >= pages) return;
    }
  }

  /** A response that goes on and on; `signal` ends it. The headers must come in time, the rest may take forever. */
  async stream(path: string, question: Question, headers: Row, signal: AbortSignal): Promise<IncomingMessage> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), ANSWER_MS);
    try {
      return await this.#orUnreachable(async () => {
        const either = AbortSignal.any([signal, late.signal]);
        const response = await this.#send('GET', `${API}${path}${queryOf(question)}`, either, headers);
        if (response.statusCode !== 200) await bodyOf(response);
        return response;
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal,
    headers: Row = {},
    body?: object | string,
  ): Promise<IncomingMessage> {
    const { bind, token, tokenFile } = this.#admin;
    const secret = token ?? tokenFile?.content;
    const call = request({
      ...(await whereIs(bind, signal)),
      method,
      path,
      signal,
      headers: {
        ...(bind.kind === 'unix' ? { host: 'localhost' } : {}),
        ...(body ? { 'content-type': typeof body === 'string' ? 'application/yaml' : 'application/json' } : {}),
        ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
        ...(headers as Record<string, string>),
      },
    });
    call.end(typeof body === 'object' ? JSON.stringify(body) : body);
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    return response;
  }

  async #orUnreachable<T>(attempt: () => Promise<T>): Promise<T> {
    const at = this.#admin.bind.text;
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if (error instanceof SyntaxError) throw new Unreachable(`what answers at ${at} is no balancer`, { cause: error });
      throw new Unreachable(`cannot reach the admin address ${at}: ${whyNot(error)}`, { cause: error });
    }
  }
}

/**
 * Has the balancer that runs with `file` asked. Resolves to the exit code: that of `work`, or 1, after a line on
 * standard error, where the balancer cannot be asked or says no. `hint` is what to add to the line.
 */
export async function withBalancer(
  file: string,
  work: (client: AdminClient) => Promise<number>,
  hint: (error: Unreachable | Refusal) => string = () => '',
): Promise<number> {
  const admin = loadAdmin(file);
  if (!admin) return complain(`cannot read the admin address from ${file}; berth check -c ${file} says what is wrong`);
  try {
    return await work(new AdminClient(admin));
  } catch (error) {
    if (isTold(error)) return complain(error.message + hint(error));
    throw error;
  }
}

/** Whether it is what asking may end in, with a message for people. */
export function isTold(error: unknown): error is Unreachable | Refusal {
  return error instanceof Unreachable || error instanceof Refusal;
}

/** Says on standard error what is wrong; the exit code. */
export function complain(message: string, code: 1 | 2 = 1): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return code;
}

/** The body of an answer; throws a Refusal where the status is not 200. */
async function bodyOf(response: IncomingMessage): Promise<unknown> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response as AsyncIterable<string>) text += chunk;
  const body: unknown = JSON.parse(text);
  if (response.statusCode !== 200) throw new Refusal(response.statusCode ?? 0, body);
  return body;
}

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is no object has no keys. */
export function rowOf(value: unknown): Row {
  return isRow(value) ? value : {};
}

export function rowsOf(value: unknown): readonly Row[] {
  return Array.isArray(value) ? value.filter(isRow) : [];
}

function queryOf(question: Question): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(question)) if (value !== undefined) query.set(key, String(value));
  return query.size === 0 ? '' : `?${query.toString()}`;
}

function whyNot(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (error instanceof NameFault) return message;
  if (name === 'AbortError' || name === 'TimeoutError') return `no answer within ${ANSWER_MS / 1000}s`;
  const known: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there. Does the balancer run, and with this configuration file?',
    ENOENT: 'there is no such socket. Does the balancer run, and with this configuration file?',
    EACCES: 'permission denied: who may connect is whoever may write to the socket; try as the user of the balancer',
  };
  return known[code ?? ''] ?? message;
}

/** With the address of a name: Node would ask the system for it, and nothing could end that. */
async function whereIs(
  bind: Bind,
  signal: AbortSignal,
): Promise<{ socketPath: string } | { host: string; port: number }> {
  if (bind.kind === 'unix') return { socketPath: bind.path };
  const host = ON_THIS_MACHINE[bind.host] ?? bind.host;
  const { addresses } = await lookUp(host, signal);
  return { host: addresses[0] ?? host, port: bind.port };
}
