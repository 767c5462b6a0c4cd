/** What lists can be sorted by: columns, by their titles in small letters, and the fields of the API behind them. */
const TRAFFIC = { 'in/s': 'bytesInPerSecond', 'out/s': 'bytesOutPerSecond' } as const;
const BYTES = { in: 'bytesIn', out: 'bytesOut' } as const;

export const SORTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  status: {
    conns: 'connections',
    'new/s': 'connectionsPerSecond',
    queue: 'queue',
    clients: 'clients',
    ...TRAFFIC,
    connect: 'connectMs',
    check: 'checkMs',
    errors: 'connectErrors',
  },
  table: { conns: 'connections' },
  connections: { age: 'ageMs', idle: 'idleMs', ...TRAFFIC, ...BYTES },
  sessions: { conns: 'connections', total: 'connectionsTotal', ...TRAFFIC, ...BYTES, quiet: 'quietMs' },
};

export const sortsOf = (command: string): readonly string[] => Object.keys(SORTS[command] ?? {});

/** The field behind the value of --sort; undefined where there is none. */
export function sortField(command: string, column: unknown): string | undefined {
  return typeof column === 'string' ? SORTS[command]?.[column.toLowerCase()] : undefined;
}
