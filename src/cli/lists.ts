/** `table`, `connections` and `sessions`: lists that may be long, and are shown as they come. */
import type { Question, Row } from './ask.ts';
import type { Call } from './commands.ts';
import { text } from './look.ts';
import { Table, type Cell, type Column } from './print.ts';
import { show } from './show.ts';
import { sortField } from './sorts.ts';
import { bytes, count, duration, since, UNKNOWN } from './units.ts';

export function table(call: Call): Promise<number> {
  return list(call, 'table', BINDING, { ip: call.argument, ...where(call) });
}

export function connections(call: Call): Promise<number> {
  return list(call, 'connections', CONNECTION, where(call));
}

export function sessions(call: Call): Promise<number> {
  return list(call, 'sessions', SESSION, where(call));
}

/** What a list is of; an option that a command does not have is undefined. */
function where({ values: { backend, server, client } }: Call): Question {
  return { backend, server, client };
}

function list(call: Call, path: string, columns: readonly Column<Row>[], filter: Question): Promise<number> {
  const question = { ...filter, sort: sortField(path, call.values['sort']) };
  return show(call, {
    lines: async function* (client, paper) {
      const rows = new Table(columns, paper);
      for await (const items of client.pages(path, question)) yield rows.lines(items);
    },
    // One item a line, in one array: what breaks off is no JSON.
    json: async function* (client) {
      let before = '[\n';
      for await (const items of client.pages(path, question)) {
        if (items.length === 0) continue;
        yield before + items.map((item) => JSON.stringify(item)).join(',\n');
        before = ',\n';
      }
      yield before === '[\n' ? '[]\n' : '\n]\n';
    },
  });
}

const BINDING: readonly Column<Row>[] = [
  { title: 'CLIENT', cell: ({ client }) => text(client) },
  { title: 'BACKEND', cell: ({ backend }) => text(backend), least: 10, rank: 1 },
  { title: 'SERVER', cell: serverOf },
  { title: 'HOME', cell: ({ home }) => text(home), rank: 2 },
  { title: 'BY', cell: ({ by }) => text(by), rank: 3 },
  { title: 'CONNS', cell: (row) => count(row['connections']), align: 'right' },
  { title: 'EXPIRES', cell: ({ expiresMs }) => (expiresMs === null ? 'open' : duration(expiresMs)), align: 'right' },
];

/** In red where it does not take its clients now. */
function serverOf({ server, usable }: Row): Cell {
  return usable === false ? { text: text(server), style: 'red' } : text(server);
}

const CONNECTION: readonly Column<Row>[] = [
  { title: 'ID', cell: ({ id }) => text(id), align: 'right' },
  { title: 'CLIENT', cell: ({ client }) => text(client) },
  { title: 'BACKEND', cell: ({ backend }) => text(backend), least: 10, rank: 5 },
  { title: 'SERVER', cell: ({ server }) => text(server), least: 10 },
  { title: 'PHASE', cell: ({ phase }) => text(phase) },
  { title: 'AGE', cell: ({ ageMs }) => duration(ageMs), align: 'right' },
  { title: 'IDLE', cell: ({ idleMs }) => duration(idleMs), align: 'right' },
  { title: 'IN/S', cell: (row) => bytes(row['bytesInPerSecond']), align: 'right', rank: 1 },
  { title: 'OUT/S', cell: (row) => bytes(row['bytesOutPerSecond']), align: 'right', rank: 2 },
  { title: 'IN', cell: ({ bytesIn }) => bytes(bytesIn), align: 'right' },
  { title: 'OUT', cell: ({ bytesOut }) => bytes(bytesOut), align: 'right' },
  { title: 'FROM', cell: ({ from }) => text(from), rank: 3 },
  { title: 'FRONTEND', cell: ({ frontend }) => text(frontend), rank: 6 },
  { title: 'SNI', cell: ({ sni }) => text(sni), least: 12, rank: 4 },
];

const DIRECTIONS: Readonly<Record<string, Cell>> = {
  push: { text: 'push', style: 'cyan' },
  pull: { text: 'pull', style: 'green' },
};

/** What is seen of a session, in `sessions` and in `top`. */
export const SESSION: readonly Column<Row>[] = [
  { title: 'CLIENT', cell: ({ client }) => text(client) },
  { title: 'BACKEND', cell: ({ backend }) => text(backend), least: 10, rank: 3 },
  { title: 'SERVER', cell: ({ server }) => text(server), least: 10 },
  { title: 'DOES', cell: ({ direction }) => DIRECTIONS[text(direction)] ?? text(direction) },
  { title: 'CONNS', cell: (row) => count(row['connections']), align: 'right' },
  { title: 'TOTAL', cell: ({ connectionsTotal }) => count(connectionsTotal), align: 'right', rank: 1 },
  { title: 'IN/S', cell: (row) => bytes(row['bytesInPerSecond']), align: 'right' },
  { title: 'OUT/S', cell: (row) => bytes(row['bytesOutPerSecond']), align: 'right' },
  { title: 'IN', cell: ({ bytesIn }) => bytes(bytesIn), align: 'right' },
  { title: 'OUT', cell: ({ bytesOut }) => bytes(bytesOut), align: 'right' },
  { title: 'FOR', cell: (row) => since(row['since'], UNKNOWN), align: 'right' },
  { title: 'QUIET', cell: ({ quietMs }) => duration(quietMs), align: 'right', rank: 2 },
];
