import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Bind } from '../config/values.ts';
import { listen } from './bind.ts';
import { FaultyBind } from './bind-error.ts';

/** TCP_LISTEN in the column `st` of /proc/net/tcp (proc(5)). */
const LISTEN = '0A';

/**
 * Finds out whether `bind` can be had when this process has closed the `own` listeners that are in its way. The port
 * itself cannot be tried while they are open; what else can fail is tried. Rejects with a BindError.
 */
export async function rehearse(bind: Bind, own: number): Promise<void> {
  if (bind.kind === 'unix') return;
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
