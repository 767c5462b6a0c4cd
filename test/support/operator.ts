/** What an operator does to a running balancer: another file and a reload, a question to the admin address, a command. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { CLI, type Berth, type LogLine } from './berth.ts';
import { Client, eventually, within } from './clients.ts';
import type { TestServer } from './servers.ts';

/** A balancer.yml as an object: JSON is YAML. */
export type Settings = {
  readonly frontends: Readonly<Record<string, object>>;
  readonly backends: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly [key: string]: unknown;
};

export const yaml = (file: object): string => JSON.stringify(file, null, 2);

/** Frontend `f` and backend `b` in front of `servers`, all on free ports of loopback. */
export function settings(
  servers: readonly Pick<TestServer, 'name' | 'address'>[],
  backend: object = {},
  rest: object = {},
): Settings {
  return {
    frontends: { f: { bind: '127.0.0.1:0', backend: 'b' } },
    backends: { b: { servers: Object.fromEntries(servers.map(({ name, address }) => [name, address])), ...backend } },
    metrics: { bind: '127.0.0.1:0' },
    admin: { bind: '127.0.0.1:0' },
    ...rest,
  };
}

/** Removed with the test. */
export function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'berth-life-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes the file where one is given, sends SIGHUP, and resolves to the line that says what came of it. */
export async function reload(berth: Berth, file?: Settings | string): Promise<LogLine> {
  if (file !== undefined) writeFileSync(berth.file, typeof file === 'string' ? file : yaml(file));
  const seen = berth.lines.length;
  berth.signal('SIGHUP');
  return berth.line(({ msg }) => msg.startsWith('reload'), seen);
}

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: unknown };
export type Question = { readonly body?: string; readonly headers?: Readonly<Record<string, string>> };

/** Asks the admin address that the log has named last. */
export async function api(berth: Berth, method: string, path: string, question: Question = {}): Promise<Answer> {
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

export type ServerStatus = {
  readonly name: string;
  readonly address: string;
  readonly up: boolean;
  readonly since: string;
  readonly reason: string;
  readonly state: string;
  readonly usable: boolean;
  readonly weight: number;
  readonly connections: number;
  readonly clients: number;
};
export type Status = {
  readonly stage: string;
  readonly frontends: readonly { name: string; addresses: string[]; connections: number }[];
  readonly backends: readonly {
    name: string;
    stickTable: { size: number; entries: number } | false;
    servers: ServerStatus[];
  }[];
};
export type Explanation = {
  readonly client: string | null;
  readonly server: string | null;
  readonly connections: number;
  readonly expiresMs: number | null;
  readonly why: string;
};

export async function status(berth: Berth): Promise<Status> {
  return (await api(berth, 'GET', '/api/v1/status')).body as Status;
}

/** A server of backend `b`. */
export async function serverStatus(berth: Berth, name: string): Promise<ServerStatus | undefined> {
  return (await status(berth)).backends[0]?.servers.find((server) => server.name === name);
}

/** What is said of a client for backend `b`. */
export async function explain(berth: Berth, ip: string): Promise<Explanation> {
  const { body } = await api(berth, 'GET', `/api/v1/explain?ip=${encodeURIComponent(ip)}`);
  return (body as { backends: Explanation[] }).backends[0]!;
}

/** The same, when none of the client's connections stands any more: it sees the end a moment before the balancer counts it. */
export function explainAway(berth: Berth, ip: string): Promise<Explanation> {
  return eventually(`the connections of ${ip} to end`, async () => {
    const said = await explain(berth, ip);
    return said.connections === 0 ? said : undefined;
  });
}

/** Of a server of backend `b`. */
export function setState(berth: Berth, server: string, state: string): Promise<Answer> {
  return api(berth, 'PUT', `/api/v1/servers/b/${server}`, { body: JSON.stringify({ state }) });
}

/** Runs `berth ARGS` to its end. */
export async function command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const [code] = (await within(once(child, 'close'), `berth ${args.join(' ')}`)) as [number];
  return { code, ...said };
}

/** Connects, hears who serves, is answered, leaves. Rejects where any of that fails. */
export async function whoServes(port: number, from = '127.0.0.1', host = '127.0.0.1'): Promise<string> {
  const client = new Client({ port, from, host });
  // Both sides' ends are the client's to wait for: one that comes before the answer is a failure, and not to be waited out.
  const gone = client.ended.then((how): never => {
    throw new Error(`no answer: ${how}`);
  });
  gone.catch(() => {});
  try {
    const name = await Promise.race([client.line(), gone]);
    client.socket.write('ping');
    await Promise.race([client.bytes(name.length + 1 + 4), gone]);
    if ((await client.finish()) !== 'end') throw new Error('reset at the end');
    return name;
  } finally {
    client.socket.destroy();
  }
}

/** Clients that come again and again, each from an address of its own, until they are sent home. */
export class Crowd {
  calls = 0;
  readonly failures: string[] = [];
  readonly #loops: Promise<void>[];
  #home = false;

  constructor(port: number, size: number) {
    this.#loops = Array.from({ length: size }, async (_, i) => {
      while (!this.#home) {
        this.calls++;
        // A client that comes back, and one that is new each time.
        const from = i % 2 === 0 ? `127.1.0.${i + 1}` : `127.2.${(this.calls >> 8) & 255}.${1 + (this.calls % 254)}`;
        await whoServes(port, from).catch((error: Error) => this.failures.push(error.message));
      }
    });
  }

  async leave(): Promise<void> {
    this.#home = true;
    await Promise.all(this.#loops);
  }
}

/** The files that a process has open, by kind: sockets, pipes, … */
export function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Health checks that see a change at once. */
export const CHECKS = { healthCheck: { interval: '50ms', fastInterval: '50ms', fall: 1, rise: 1 } };

/** Clients, each from an address of its own. */
export const clients = (count: number): string[] => Array.from({ length: count }, (_, i) => `127.0.7.${i + 1}`);

/** Where each client is served now. */
export async function places(port: number, from: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const one of from) names.push(await whoServes(port, one));
  return names;
}
