import type { FileDraft, ProxyDraft, ServerDraft } from './draft.ts';
import { Outline, type Sourced } from './outline.ts';
import { carried, lost } from './outcome.ts';
import { timer } from './scalars.ts';

type Keys = Map<string, Sourced>;

/** Writes `healthCheck`: HAProxy checks each server in its own way, Berth all servers of a backend in one. */
export function writeHealthCheck(
  draft: ProxyDraft,
  servers: readonly ServerDraft[],
  into: Outline,
  file: FileDraft,
): void {
  const { ledger } = file;
  const checked = servers.filter(({ isChecked }) => isChecked);
  if (checked.length === 0) return into.set('healthCheck', false);
  for (const { name, line, isChecked } of servers) {
    if (!isChecked)
      ledger.note(line, `server ${name}`, lost('Berth checks it too: a backend checks all servers or none'));
  }
  const keys: Keys = new Map();
  for (const { check } of checked) {
    for (const [key, sourced] of check) {
      const first = keys.get(key);
      if (!first) keys.set(key, sourced);
      else if (first.value !== sourced.value) {
        const taken = `${String(first.value)} of line ${first.line}`;
        const says = `all servers of a backend are checked alike; ${taken} is taken`;
        ledger.note(sourced.line ?? 0, `${key} ${String(sourced.value)}`, lost(says), 'check');
      }
    }
  }
  const map = into.map('healthCheck');
  writeType(draft, map, file);
  writeTls(draft, checked, keys, map);
  for (const key of ['interval', 'fastInterval'] as const) put(map, key, keys.get(key));
  // Without `timeout check`, HAProxy gives a check as long as there is between two.
  const own = draft.timeouts.get('check');
  if (own) map.set('timeout', timer(own.value), own.line);
  else put(map, 'timeout', keys.get('interval'));
  for (const key of ['rise', 'fall'] as const) put(map, key, keys.get(key));
  const port = draft.check.get('port') ?? keys.get('port');
  if (port) map.put('port', port);
}

function put(map: Outline, key: string, sourced: Sourced | undefined): void {
  if (sourced) map.put(key, sourced);
}

/** What Berth takes as a Host header: not a text of any kind. */
const HOST = /^[\w.-]+(:\d{1,5})?$/;
const V2 = /^\/v2\/?$/;

/** A check of `/v2/` that takes 200 or 401 is that of a registry. */
function writeType({ check }: ProxyDraft, map: Outline, { ledger }: FileDraft): void {
  const type = check.get('type');
  const expect = check.get('expect');
  const statuses = Array.isArray(expect) ? expect.map((one: Sourced) => one.value as string | number) : [];
  if (!type) return;
  const line = 'line' in type ? type.line : undefined;
  const host = check.get('host') as Sourced | undefined;
  if (host && !HOST.test(String(host.value))) {
    ledger.note(host.line ?? 0, `Host ${String(host.value)}`, lost('no Host that Berth sends'), 'option httpchk');
    check.delete('host');
  }
  const ofRegistry = statuses.every((status) => [200, 401, '200-299', '200-399', '200-401'].includes(status));
  if (V2.test(String(check.scalar('path'))) && ofRegistry) {
    map.set('type', 'registry', line);
    put(map, 'host', check.get('host') as Sourced | undefined);
    if (line !== undefined)
      ledger.note(line, '/v2/', carried('`healthCheck.type: registry`, where 200 and 401 are up'), 'option httpchk');
    return;
  }
  map.put('type', type);
  put(map, 'host', check.get('host') as Sourced | undefined);
  if (check.scalar('path') !== '/') put(map, 'path', check.get('path') as Sourced | undefined);
  const isDefault = statuses.length === 1 && statuses[0] === '200-399';
  const byRange = statuses.join() === '200-299,300-399';
  if (expect && statuses.length > 0 && !isDefault && !byRange) map.put('expect', expect);
}

function writeTls({ check }: ProxyDraft, servers: readonly ServerDraft[], keys: Keys, map: Outline): void {
  const own = check.get('tls');
  const bySocket = servers.find(({ tls }) => tls !== undefined)?.tls;
  const asked = keys.get('tls') ?? (own as Sourced | undefined);
  if (!asked?.value && bySocket === undefined) return;
  const line = asked?.line ?? bySocket;
  const [ca, verify] = [keys.get('ca'), keys.get('verify')];
  const serverName = keys.get('serverName') ?? (check.get('serverName') as Sourced | undefined);
  const tls = new Outline(line);
  if (verify?.value !== false) put(tls, 'ca', ca);
  put(tls, 'serverName', serverName);
  for (const key of ['cert', 'key']) put(tls, key, keys.get(key));
  if (verify?.value === true && !ca) tls.set('verify', true, verify.line);
  if (tls.isEmpty) map.set('tls', true, line);
  else map.put('tls', tls);
}
