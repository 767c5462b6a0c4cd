import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createServer } from 'node:net';
import type { Bind } from '../config/values.ts';
import { listen, nobodyAnswers } from './bind.ts';
import { FaultyBind } from './bind-error.ts';

/** TCP_LISTEN in the column `st` of /proc/net/tcp (proc(5)). */
const LISTEN = '0A';

/**
 * Finds out whether `bind` can be had when this process has closed the `own` listeners that are in its way. The port
 * itself cannot be tried while they are open; what else can fail is tried. Rejects with a BindError.
 */
export async function rehearse(bind: Bind, own: number): Promise<void> {
  if (bind.kind === 'unix') return own > 0 ? undefined : rehearseUnix(bind.path);
  const wildcard = ['*', '0.0.0.0', '::'].includes(bind.host);
  if (wildcard) {
    // Whoever has the port on an address of its own was no obstacle to the narrow bind, and is to the wide bind.
    if (listeningOn(bind) > own) throw new FaultyBind('EADDRINUSE', 'address in use');
    return;
  }
  const trial = createServer();
  await listen(trial, { ...bind, port: 0 });
  trial.close();
}

/** Whether a socket can be made at this path, which stays as it is: a file that nobody answers at is taken over. */
async function rehearseUnix(path: string): Promise<void> {
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code = 'EACCES', message } = error as NodeJS.ErrnoException;
    throw new FaultyBind(code, message);
  }
  if (existsSync(path) && !(await nobodyAnswers(path))) throw new FaultyBind('EADDRINUSE', 'address in use');
}

/** How many sockets of this machine listen on the port, in the families that `bind` covers. */
function listeningOn({ host, port }: Bind & { kind: 'tcp' }): number {
  const tables = { '0.0.0.0': ['tcp'], '::': ['tcp6'] }[host] ?? ['tcp', 'tcp6'];
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const row = new RegExp(`^ *\\d+: [0-9A-F]+:${hex} [0-9A-F:]+ ${LISTEN} `, 'gm');
  return tables.reduce((sum, table) => sum + (readTable(table).match(row)?.length ?? 0), 0);
}

/** A machine without IPv6 has no table of it. */
function readTable(name: string): string {
  try {
    return readFileSync(`/proc/net/${name}`, 'utf8');
  } catch {
    return '';
  }
}
