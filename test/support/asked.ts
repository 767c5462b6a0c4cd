/** What an operator asks of a running Berth and does to it, through its admin address. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { Berth, LogLine } from './berth.ts';

export type ServerStatus = {
  readonly name: string;
  readonly address: string;
  readonly up: boolean;
  readonly usable: boolean;
  readonly connections: number;
  readonly queue: number;
  readonly clients: number;
};
export type Explained = {
  readonly client: string | null;
  readonly server: string | null;
  readonly connections: number;
  readonly why: string;
};

async function ask(berth: Berth, method: string, path: string, body?: object): Promise<unknown> {
  const { address } = await berth.line(({ msg }) => msg === 'admin listening');
  const response = await fetch(`http://${String(address)}/api/v1/${path}`, {
    method,
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const answer: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

export async function setState(berth: Berth, server: string, state: 'ready' | 'drain' | 'maint'): Promise<void> {
  await ask(berth, 'PUT', `servers/b/${encodeURIComponent(server)}`, { state });
}

/** The servers of the first backend. */
export async function servers(berth: Berth): Promise<readonly ServerStatus[]> {
  const status = (await ask(berth, 'GET', 'status')) as { backends: { servers: ServerStatus[] }[] };
  return status.backends[0]?.servers ?? [];
}

/** Where a client of the first backend goes, and why. */
export async function explain(berth: Berth, address: string): Promise<Explained | undefined> {
  const answer = (await ask(berth, 'GET', `explain?ip=${address}`)) as { backends: Explained[] };
  return answer.backends[0];
}

/** Puts another balancer.yml into force. */
export async function reload(berth: Berth, config: string): Promise<void> {
  writeFileSync(berth.file, config);
  await ask(berth, 'POST', 'reload');
}

/** The next line that says a server went down or up, or was given another state; `from` skips the first lines of the log. */
export function change(
  berth: Berth,
  msg: 'server down' | 'server up' | 'server state',
  server: string,
  from = 0,
): Promise<LogLine> {
  return berth.line((line) => line.msg === msg && line['server'] === server, from);
}
