import { LARGEST_TABLE } from '../config/scalars.ts';
import { parseBind, parseServerAddress, parseSize } from '../config/values.ts';
import { writeHealthCheck } from './build-check.ts';
import type { FileDraft, ProxyDraft, ServerDraft } from './draft.ts';
import type { Outline } from './outline.ts';
import { lost } from './outcome.ts';
import { expiry, nameOf, parseTime, timer, type Prefix } from './scalars.ts';

/** Writes a backend into `backends`. Leaves out a backend without a server that Berth can reach, and says so. */
export function writeBackend(draft: ProxyDraft, backends: Outline, arrivals: Arrivals, file: FileDraft): void {
  const { name, section, back, servers } = draft;
  const placed = servers.flatMap((server) => {
    const address = place(draft, server, arrivals, file);
    return address === undefined ? [] : [{ server, address }];
  });
  if (placed.length === 0) {
    if (servers.length > 0)
      file.ledger.note(section.number, `${section.kind} ${name}`, lost('left out: no server is left'));
    return;
  }
  if (backends.get(nameOf(name))) {
    return file.ledger.note(section.number, `${section.kind} ${name}`, lost('left out: another has this name'));
  }
  const used = placed.map(({ server }) => server);
  const into = backends.map(nameOf(name), section.number);
  const policy = back.get('balance');
  if (policy) into.put('balance', policy);
  writeStickTable(draft, into, file);
  writeHealthCheck(draft, used, into, file);
  writeOnDown(used, into, file);
  for (const key of ['retries', 'sendProxy', 'source']) {
    const entry = back.get(key);
    if (entry) into.put(key, entry);
  }
  shareKey('sendProxy', used, into);
  writeSource(used, into, file);
  const every = used.map(({ resolvers }) => file.resolvers.get(resolvers ?? '')).find((hold) => hold !== undefined);
  if (every) into.set('resolveInterval', timer(Math.max(100, every.value)), every.line);
  if (same(used.map(({ keys }) => keys.scalar('weight') ?? 1)) && used[0]?.keys.scalar('weight') !== 0) {
    for (const { keys } of used) keys.delete('weight');
  }
  const list = into.map('servers');
  for (const { server, address } of placed) {
    if (list.get(nameOf(server.name)))
      file.ledger.note(server.line, `server ${server.name}`, lost('another has this name'));
    else writeServer(server, address, list);
  }
}

const same = (values: readonly unknown[]): boolean => values.every((value) => value === values[0]);

/** The short form where a server has nothing but an address. */
function writeServer({ name, keys, line }: ServerDraft, address: string, list: Outline): void {
  const short = keys.keys.every((key) => isDefault(key, keys.scalar(key)));
  if (short) return list.set(nameOf(name), address, line);
  const into = list.map(nameOf(name), line);
  into.set('address', address);
  for (const key of keys.keys) into.put(key, keys.get(key) ?? []);
}

const SERVER_DEFAULTS: Record<string, unknown> = { weight: 1, backup: false, maxConnections: 0, slowStart: '0s' };
function isDefault(key: string, value: unknown): boolean {
  return SERVER_DEFAULTS[key] === value;
}

/** `HOST:PORT`; undefined, with a note, for a server that is left out. */
function place(draft: ProxyDraft, server: ServerDraft, arrivals: Arrivals, file: FileDraft): string | undefined {
  const { name, line, port, disabled } = server;
  const leaveOut = (why: string): undefined => {
    file.ledger.note(line, `server ${name}`, lost(`left out: ${why}`));
    return undefined;
  };
  if (disabled !== undefined) return leaveOut('it is disabled; `berth maint` does so while Berth runs');
  const valid = (address: string): string | undefined =>
    parseServerAddress(address) ? address : leaveOut(`${address} is no address`);
  if (port === '') return valid(server.address);
  const arrival = arrivals.get(draft.name);
  const [, sign, offset] = /^([+-])(\d{1,5})$/.exec(port ?? '+0') ?? [];
  if (offset !== undefined && typeof arrival !== 'number')
    return leaveOut('it has no port of its own, and the frontend has several: it needs a backend for each');
  const number = offset === undefined ? port : String(Number(arrival) + Number(`${sign}${offset}`));
  return valid(`${server.address}:${number}`);
}

/** The port at which the clients of each backend arrive, by its name; `several` where there are more. */
export type Arrivals = ReadonlyMap<string, number | 'several'>;

export function arrivalsOf(proxies: readonly ProxyDraft[]): Arrivals {
  const arrivals = new Map<string, number | 'several'>();
  for (const { isFrontend, name, front, routes, binds } of proxies) {
    if (!isFrontend) continue;
    const ports = new Set<number>();
    for (const { value } of binds) {
      const bind = parseBind(value);
      if (bind?.kind === 'tcp') ports.add(bind.port);
    }
    const [port] = ports;
    if (port === undefined) continue;
    for (const to of new Set([name, front.scalar('backend'), ...routes.map(({ backend }) => backend)])) {
      const other = arrivals.get(String(to)) ?? port;
      arrivals.set(String(to), ports.size === 1 && other === port ? port : 'several');
    }
  }
  return arrivals;
}

function writeStickTable({ name, stick, table: own }: ProxyDraft, into: Outline, { proxies, ledger }: FileDraft): void {
  if (!stick) return into.set('stickTable', false);
  const other = stick.table === undefined ? undefined : proxies.named(stick.table);
  const shared = stick.table ?? name;
  if (proxies.sharers(shared) > 1) {
    const says = `each backend has a table of its own: a client may have another server here than by \`${shared}\``;
    if (stick.table !== undefined) ledger.note(stick.line, stick.text, lost(says));
  }
  const table = stick.table === undefined || stick.table === name ? own : other?.table;
  const map = into.map('stickTable', stick.line);
  writePrefix(stick.prefix, table?.type, map, stick.line);
  if (!table) return ledger.note(stick.line, 'stick on', lost('there is no such stick-table; the default stands'));
  if (table.type !== 'ip' && table.type !== 'ipv6') {
    ledger.note(table.line, `type ${table.type}`, lost('a client is bound by its address'));
  }
  const size = parseSize((table.size ?? '').toLowerCase());
  if (size === undefined || size < 1 || size > (parseSize(LARGEST_TABLE) ?? 0)) {
    ledger.note(table.line, `size ${table.size ?? ''}`, lost(`a table has 1 to ${LARGEST_TABLE} entries`));
    map.set('size', LARGEST_TABLE, table.line);
  } else map.set('size', (table.size ?? '').toLowerCase(), table.line);
  const ms = table.expire === undefined ? 0 : parseTime(table.expire);
  if (ms !== undefined) map.set('expire', expiry(ms), table.line);
}

/** In a table of IPv6 addresses each is a key of its own; Berth takes 64 bits unless it is told otherwise. */
export function writePrefix(
  { ipv4, ipv6 }: Prefix,
  tableType: string | undefined,
  into: Outline,
  line: number | undefined,
): void {
  const all = { ipv4, ipv6: ipv6 ?? (tableType === 'ipv6' ? 128 : undefined) };
  for (const [family, bits] of Object.entries(all)) {
    if (bits !== undefined) into.map('prefix').set(family, bits, line);
  }
}

function writeOnDown(servers: readonly ServerDraft[], into: Outline, { ledger }: FileDraft): void {
  const closing = servers.flatMap(({ closesOnDown }) => closesOnDown ?? []);
  const [first] = closing;
  if (!first) return;
  if (closing.length < servers.length) {
    const says = '`onServerDown` holds for all servers of a backend';
    ledger.note(first.line ?? 0, 'on-marked-down shutdown-sessions', lost(says));
  }
  into.set('onServerDown', 'close', first.line);
}

/** The servers of a backend are connected to from one list of addresses. */
function writeSource(servers: readonly ServerDraft[], into: Outline, { ledger }: FileDraft): void {
  const [common] = (into.toJS()['source'] ?? []) as string[];
  const own = servers.map(({ keys }) => keys.scalar('source') ?? common);
  const [first] = servers;
  const entry = first?.keys.get('source');
  if (entry && 'line' in entry && 'value' in entry && same(own)) into.list('source', [entry]);
  for (const { keys, line } of servers) {
    if (keys.get('source') && !same(own))
      ledger.note(line, 'source', lost('`source` holds for all servers of a backend'));
    keys.delete('source');
  }
}

/** Moves a key that all servers have alike to their backend. */
function shareKey(key: string, servers: readonly ServerDraft[], into: Outline): void {
  const values = servers.map(({ keys }) => keys.scalar(key));
  const entry = servers[0]?.keys.get(key);
  if (!entry || !same(values)) return;
  into.put(key, entry);
  for (const { keys } of servers) keys.delete(key);
}
