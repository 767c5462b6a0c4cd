import { nameOf } from './scalars.ts';

/** HAProxy's name and number of each server, by `BACKEND/SERVER` in the spelling of a balancer.yml. */
export type ServerIds = ReadonlyMap<string, { readonly table: string; readonly id: number }>;

/** The numbers in the output of HAProxy's `show servers state`; undefined where the text is no such output. */
export function parseServerIds(text: string): ServerIds | undefined {
  if (!/^# be_id be_name srv_id srv_name /m.test(text)) return undefined;
  const ids = new Map<string, { table: string; id: number }>();
  for (const line of text.split('\n')) {
    const [, table = '', id, name = ''] = /^\d+ (\S+) (\d+) (\S+) /.exec(line) ?? [];
    if (id !== undefined) ids.set(`${nameOf(table)}/${nameOf(name)}`, { table, id: Number(id) });
  }
  return ids;
}

type Backends = Readonly<Record<string, { readonly servers: Readonly<Record<string, unknown>> }>>;

/** HAProxy numbers the servers of a backend in the order of its file, which the import has kept. */
export function idsInOrder(backends: Backends): ServerIds {
  const ids = Object.entries(backends).flatMap(([table, { servers }]) =>
    Object.keys(servers).map((name, i) => [`${table}/${name}`, { table, id: i + 1 }] as const),
  );
  return new Map(ids);
}

/** A client that is bound: by its address, or by `NETWORK/BITS`. */
export type Bound = { readonly backend: string; readonly server: string; readonly client: string };

/**
 * The commands that bind a client in HAProxy's table, as one line for its admin socket; undefined where HAProxy has no
 * such server. An entry that HAProxy has already goes first: `set table` leaves the server's name in it, and HAProxy
 * follows the name before the number.
 */
export function setTableLine({ backend, server, client }: Bound, ids: ServerIds): string | undefined {
  const there = ids.get(`${backend}/${server}`);
  if (!there) return undefined;
  // `stick on src,ipmask(24)` looks for the first address of the network.
  const entry = `table ${there.table} key ${client.replace(/\/.*$/, '')}`;
  return `clear ${entry}; set ${entry} data.server_id ${there.id}`;
}
