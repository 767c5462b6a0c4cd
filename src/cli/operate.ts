import { isIP } from 'node:net';
import { printable } from '../config/locate.ts';
import { loadAdmin } from '../config/load.ts';
import { ask, type AdminReply } from './ask.ts';

export type AdminCommand = 'status' | 'explain' | 'drain' | 'maint' | 'ready' | 'reload';

/** What is wrong with the argument that a command is given. */
export function argumentFault(command: AdminCommand, argument: string | undefined): string | undefined {
  switch (command) {
    case 'status':
    case 'reload':
      return undefined;
    case 'explain':
      return argument !== undefined && isIP(argument) !== 0
        ? undefined
        : 'explain needs an IP address: berth explain 10.0.0.7';
    case 'drain':
    case 'maint':
    case 'ready':
      return argument !== undefined && /^[^/]+\/[^/]+$/.test(argument)
        ? undefined
        : `${command} needs BACKEND/SERVER: berth ${command} docker_registry/s1`;
  }
}

/** A balancer is asked at the admin address of the file, but listens at the address of its last start or reload. */
const CHANGED = ' (if admin has changed in the file: undo that for the reload, or send it SIGHUP)';

/** Asks the balancer that runs with `file`. Resolves to the exit code: 1 where it cannot be asked, or says no. */
export async function askBalancer(name: AdminCommand, argument: string, file: string, json: boolean): Promise<number> {
  const admin = loadAdmin(file);
  if (!admin) return complain(`cannot read the admin address from ${file}; berth check -c ${file} says what is wrong`);
  try {
    const { status, body } = await call(name, argument, (method, path, content) => ask(admin, method, path, content));
    if (status !== 200) return complain(`${refusal(body)}${name === 'reload' && status === 401 ? CHANGED : ''}`);
    process.stdout.write(json ? `${JSON.stringify(body, null, 2)}\n` : inWords(name, body));
    return 0;
  } catch (error) {
    const { message, cause } = error as Error & { cause?: NodeJS.ErrnoException };
    const refused = cause?.code === 'ECONNREFUSED' || cause?.code === 'ENOENT';
    return complain(`${message}${name === 'reload' && refused ? CHANGED : ''}`);
  }
}

function call(
  name: AdminCommand,
  argument: string,
  send: (method: string, path: string, body?: object) => Promise<AdminReply>,
): Promise<AdminReply> {
  switch (name) {
    case 'status':
      return send('GET', '/api/v1/status');
    case 'explain':
      return send('GET', `/api/v1/explain?ip=${encodeURIComponent(argument)}`);
    case 'reload':
      return send('POST', '/api/v1/reload');
    case 'drain':
    case 'maint':
    case 'ready':
      return send('PUT', `/api/v1/servers/${argument.split('/').map(encodeURIComponent).join('/')}`, { state: name });
  }
}

type Row = Readonly<Record<string, unknown>>;
type Status = {
  version: string;
  stage: string;
  frontends: Row[];
  backends: (Row & { servers: Row[]; names?: Row[] })[];
};

function inWords(name: AdminCommand, body: unknown): string {
  switch (name) {
    case 'status':
      return statusInWords(body as Status);
    case 'explain':
      return (body as { backends: Row[] }).backends
        .map((one) => `${String(one['name'])}: ${printable(String(one['why']))}\n`)
        .join('');
    case 'reload':
      return 'reloaded\n';
    case 'drain':
    case 'maint':
    case 'ready': {
      const { name: server, state, connections } = (body as { server: Row }).server;
      return `${String(server)} is ${String(state)}; ${String(connections)} connections are open\n`;
    }
  }
}

function statusInWords({ version, stage, frontends, backends }: Status): string {
  const lines = [`berth ${version}, ${stage}`];
  for (const { name, addresses, connections } of frontends) {
    lines.push(`frontend ${String(name)}: ${(addresses as string[]).join(' ')}, ${String(connections)} connections`);
  }
  for (const { name, balance, queue, servers, names = [] } of backends) {
    lines.push(`backend ${String(name)}: ${String(balance)}${waiting(queue)}`);
    // What a node has said must not reach the terminal as more than text.
    const rows = servers.map((server) =>
      [
        `  ${String(server['name'])}`,
        String(server['address']),
        server['up'] === true ? 'up' : 'DOWN',
        String(server['state']),
        `weight ${Number(Number(server['weight']).toFixed(2))}${server['backup'] === true ? ', backup' : ''}`,
        `${String(server['connections'])} connections${waiting(server['queue'])}`,
        `${String(server['clients'])} clients`,
        `since ${String(server['since'])}`,
        String(server['reason']),
        server['storage'] === 'unknown' ? `storage: unknown (${String(server['storageReason'])})` : '',
      ].map((cell) => printable(cell)),
    );
    const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    for (const row of rows)
      lines.push(
        row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd(),
      );
    for (const { server, address, resolves, since, reason } of names) {
      if (resolves === true) continue;
      lines.push(
        printable(`  ${String(server)}: ${String(address)} does not resolve since ${String(since)}: ${String(reason)}`),
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

const waiting = (count: unknown): string => (Number(count) > 0 ? `, ${String(count)} wait` : '');

function refusal(body: unknown): string {
  const { error, problems } = body as { error?: string; problems?: string[] };
  return error ?? `the old configuration stays in force:\n${(problems ?? []).join('\n')}`;
}

function complain(message: string): number {
  process.stderr.write(`berth: ${message}\n`);
  return 1;
}
