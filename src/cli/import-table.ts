import { readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parse } from 'yaml';
import { LONGEST_EXPIRY } from '../config/scalars.ts';
import { schema } from '../config/schema.ts';
import { parseDuration } from '../config/values.ts';
import type { Imported } from '../import/result.ts';
import { parseTableDump } from '../import/table-dump.ts';
import { clientKey, normaliseAddress } from '../pool/client-key.ts';
import { FORMAT } from '../state-file.ts';

/**
 * Writes the bindings of `dump`, the output of HAProxy's `show table`, as the state file `file` for the balancer.yml
 * that was imported. Returns what came of it in words; throws where a file cannot be read or written, or is no dump.
 */
export function importTable(dump: string, file: string, { yaml, tables }: Imported & { kind: 'imported' }): string {
  const bindings = parseTableDump(readFileSync(dump, 'utf8'));
  if (!bindings) throw new Error('it is not the output of `show table NAME`');
  const { backends } = schema.parse(parse(yaml, { uniqueKeys: false }));
  const longestMs = parseDuration(LONGEST_EXPIRY) ?? 0;
  const lines: string[] = [];
  let left = 0;
  const users = groups(tables);
  for (const { table, client, server, remainingMs } of bindings) {
    const known = isIP(client) !== 0;
    let used = false;
    for (const { backend, servers } of known ? (users.get(table) ?? []) : []) {
      const name = typeof server === 'number' ? servers[server - 1] : server;
      const { stickTable = false, servers: there } = backends[backend] ?? {};
      if (name === undefined || stickTable === false || !there || !Object.hasOwn(there, name)) continue;
      const key = clientKey(normaliseAddress(client), stickTable.prefix);
      lines.push(JSON.stringify({ backend, server: name, client: key, ms: Math.min(remainingMs, longestMs) }));
      used = true;
    }
    if (!used) left++;
  }
  const head = JSON.stringify({ format: FORMAT, savedAt: Date.now() });
  const text = [head, ...lines, JSON.stringify({ lines: lines.length }), ''].join('\n');
  writeFileSync(file, text, { mode: 0o600 });
  const rest = left > 0 ? `; ${left} are of servers or tables that are not there` : '';
  return `${lines.length} bindings are in ${file}${rest}`;
}

type Uses = (Imported & { kind: 'imported' })['tables'];

function groups(tables: Uses): Map<string, Uses[number][]> {
  const result = new Map<string, Uses[number][]>();
  for (const use of tables) {
    const there = result.get(use.table);
    if (there) there.push(use);
    else result.set(use.table, [use]);
  }
  return result;
}
