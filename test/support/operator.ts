/**
 * What an operator does to a running balancer: another file and a reload, a question to the admin address, a command.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { BERTH, type Berth, type LogLine } from './berth.ts';
import { yaml, type Settings } from './settings.ts';
import { eventually, within } from './waiting.ts';
import type * as z from 'zod';
import type { serverRow } from '../../src/admin/resources/server-row.ts';

/** Writes the file where one is given, sends SIGHUP, and resolves to the line that says what came of it. */
export async function reload(berth: Berth, file?: Settings | string): Promise<LogLine> {
  if (file !== undefined) writeFileSync(berth.file, yaml(file));
  const seen = berth.lines.length;
  berth.signal('SIGHUP');
  return berth.line(({ msg }) => msg.startsWith('reload'), seen);
}

/** A balancer whose log can be read. */
export type Running = Pick<Berth, 'lines' | 'until'>;

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: unknown };
export type Question = { readonly body?: string; readonly headers?: Readonly<Record<string, string>> };

/** Asks the admin address that the log has named last. */
export async function api(berth: Running, method: string, path: string, question: Question = {}): Promise<Answer> {
  const { address } = await berth.until(() => berth.lines.findLast(({ msg }) => msg === 'admin listening'));
  return askAt(String(address), method, path, question);
}

/** Asks at `HOST:PORT` or `unix:PATH`. */
export async function askAt(
  address: string,
  method: string,
  path: string,
  { body, headers = {} }: Question = {},
): Promise<Answer> {
  const unix = /^unix:(.*)$/.exec(address)?.[1];
  const [, host = '', port] = /^(.*):(\d+)$/.exec(address) ?? [];
  const where = unix === undefined ? { host, port } : { socketPath: unix };
  const call = request({ ...where, method, path, agent: false, headers });
  call.end(body);
  const [response] = (await within(once(call, 'response'), `an answer to ${method} ${path}`)) as [IncomingMessage];
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString();
  const json = response.headers['content-type'] === 'application/json' && method !== 'HEAD';
  return { status: response.statusCode ?? 0, headers: response.headers, body: json ? JSON.parse(text) : text };
}

export type ServerStatus = z.output<typeof serverRow>;
export type NameStatus = {
  readonly server: string;
  readonly address: string;
  readonly servers: number;
  readonly resolves: boolean;
  readonly since: string | null;
  readonly reason: string;
};
export type Status = {
  readonly version: string;
  readonly node: string;
  readonly stage: string;
  readonly startedAt: string;
  readonly now: string;
  readonly pid: number;
  readonly config: {
    readonly file: string;
    readonly loadedAt: string;
    readonly lastReload: { readonly ok: boolean; readonly at: string; readonly problems: readonly string[] };
  };
  readonly frontends: readonly {
    name: string;
    addresses: string[];
    connections: number;
    connectionsTotal: number;
    connectionsPerSecond: number;
    refusedTotal: number;
  }[];
  readonly backends: readonly {
    name: string;
    queue: number;
    connections: number;
    clients: number;
    bytesInPerSecond: number;
    bytesOutPerSecond: number;
    stickTable: { size: number; entries: number } | false;
    servers: ServerStatus[];
    names: NameStatus[];
  }[];
};
export type Explanation = {
  readonly client: string | null;
  readonly server: string | null;
  readonly connections: number;
  readonly expiresMs: number | null;
  readonly why: string;
  readonly order: string | null;
};

export async function status(berth: Running): Promise<Status> {
  return (await granted(berth, 'GET', '/api/v1/status')).body as Status;
}

/** What a reload that fails leaves as it is: all of status but how that reload went, rates, and what checks measure. */
export async function standing(berth: Running): Promise<unknown> {
  const varies = /^(now|loadedAt|lastReload|connectMs|checkMs|\w+PerSecond)$/;
  return JSON.parse(
    JSON.stringify(await status(berth), (key, value: unknown) => (varies.test(key) ? undefined : value)),
  );
}

/** The servers of backend `b`, or of the first. */
export async function serversOf(berth: Running): Promise<readonly ServerStatus[]> {
  return (await status(berth)).backends[0]?.servers ?? [];
}

export async function serverStatus(berth: Running, name: string): Promise<ServerStatus | undefined> {
  return (await serversOf(berth)).find((server) => server.name === name);
}

/** What is said of a client for backend `b`. */
export async function explain(berth: Running, ip: string): Promise<Explanation> {
  const { body } = await granted(berth, 'GET', `/api/v1/explain?ip=${encodeURIComponent(ip)}`);
  return (body as { backends: Explanation[] }).backends[0]!;
}

/**
 * The same, when none of the client's connections stands any more: it sees the end a moment before the balancer counts
 * it.
 */
export function explainAway(berth: Running, ip: string): Promise<Explanation> {
  return eventually(`the connections of ${ip} to end`, async () => {
    const said = await explain(berth, ip);
    return said.connections === 0 && said;
  });
}

/** Of a server of backend `b`. */
export function setState(berth: Running, server: string, state: string): Promise<Answer> {
  const path = `/api/v1/servers/b/${encodeURIComponent(server)}`;
  return granted(berth, 'PUT', path, { body: JSON.stringify({ state }) });
}

export type Changed = {
  readonly before: { readonly state: string; readonly weight: number };
  readonly server: ServerStatus;
  readonly moves: number;
  readonly shared: boolean | null;
};

/** Of a server of backend `b`; `query` begins with a question mark. */
export async function change(berth: Running, server: string, wanted: object, query = ''): Promise<Changed> {
  const path = `/api/v1/servers/b/${encodeURIComponent(server)}${query}`;
  return (await granted(berth, 'PUT', path, { body: JSON.stringify(wanted) })).body as Changed;
}

/** Asks, and is not refused. */
async function granted(berth: Running, method: string, path: string, question?: Question): Promise<Answer> {
  const answer = await api(berth, method, path, question);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer;
}

export type Ran = {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
};

type Run = {
  readonly input?: string;
  readonly interrupt?: Promise<unknown>;
  readonly through?: readonly string[];
};

/** Runs `berth ARGS` to its end. */
export function command(...args: readonly string[]): Promise<Ran> {
  return commandWith({}, ...args);
}

/** The same, with what it reads, run through another program; when `interrupt` resolves it gets what Ctrl-C sends. */
export async function commandWith(
  { input = '', interrupt, through = [] }: Run,
  ...args: readonly string[]
): Promise<Ran> {
  const [program = '', ...rest] = [...through, ...BERTH, ...args];
  const child = spawn(program, rest, { timeout: 120_000, killSignal: 'SIGKILL' });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(input);
  void interrupt?.then(() => child.kill('SIGINT'));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(said.err.includes('    at '), false, `a stack trace: ${said.err}`);
  return { code, ...said };
}
