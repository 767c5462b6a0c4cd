/** `status` and `explain`: what runs, and where a client goes. */
import { printable } from '../config/locate.ts';
import { rowOf, rowsOf, type AdminClient, type Row } from './ask.ts';
import type { Call } from './commands.ts';
import { line, Table, type Cell, type Column, type Paper } from './print.ts';
import { asJson, show } from './show.ts';
import { sortField } from './sorts.ts';
import { bytes, count, counted, duration, since, UNKNOWN } from './units.ts';

export function status(call: Call): Promise<number> {
  const field = sortField('status', call.values['sort']);
  const ask = async (client: AdminClient): Promise<Row> => {
    const answer = await client.get('status');
    const backends = rowsOf(answer['backends']).map((one) => ({
      ...one,
      servers: sorted(rowsOf(one['servers']), field),
    }));
    return { ...answer, backends };
  };
  return show(call, {
    lines: async function* (client, paper) {
      yield statusLines(await ask(client), paper);
    },
    json: async function* (client) {
      yield asJson(await ask(client));
    },
  });
}

/** The largest of a field first; as they come where there is no field. */
export function sorted(rows: readonly Row[], field: string | undefined): readonly Row[] {
  if (field === undefined) return rows;
  // What is unknown is null, and comes last.
  const value = (row: Row): number => Number(row[field] ?? -1);
  return rows.toSorted((a, b) => value(b) - value(a));
}

export function explain(call: Call): Promise<number> {
  const question = { ip: call.argument };
  return show(call, {
    lines: async function* (client, paper) {
      yield explainLines(await client.get('explain', question), paper);
    },
    json: async function* (client) {
      yield asJson(await client.get('explain', question));
    },
  });
}

/** Which client stood behind an address that a node's log shows. */
export function whois(call: Call): Promise<number> {
  const question = { from: call.argument };
  return show(call, {
    lines: async function* (client) {
      const answer = await client.get('whois', question);
      yield [answer, ...rowsOf(answer['others'])].map((one) => printable(personLine(text(answer['from']), one)));
    },
    json: async function* (client) {
      yield asJson(await client.get('whois', question));
    },
  });
}

function personLine(from: string, { open, client, frontend, backend, server, since: at, endedAt, end }: Row): string {
  const what = `${from} ${open === true ? 'is' : 'was'} ${text(client)}`;
  const way = `by ${text(frontend)} to ${text(backend)}/${text(server)}`;
  const when = open === true ? `since ${text(at)}` : `${text(at)} to ${text(endedAt)}, end ${text(end)}`;
  return `${what}, ${way}, ${when}`;
}

function statusLines(answer: Row, paper: Paper): string[] {
  const { version, stage, startedAt, now, pid, config, frontends, backends } = answer;
  const head: Cell[] = [
    `berth ${text(version)}, `,
    { text: text(stage), style: stage === 'running' ? 'green' : 'yellow' },
    startedAt === undefined ? '' : `, started ${since(startedAt, now)} ago, pid ${text(pid)}`,
  ];
  return [
    line(head, paper),
    ...configLines(rowOf(config), now, paper),
    '',
    ...new Table(FRONTEND, paper).lines(rowsOf(frontends)),
    ...rowsOf(backends).flatMap((backend) => ['', ...backendLines(backend, now, paper)]),
  ];
}

function configLines({ file, loadedAt, lastReload }: Row, now: unknown, paper: Paper): string[] {
  if (file === undefined) return [];
  const { ok, at, problems } = rowOf(lastReload);
  const lines = [line([`${text(file)}, loaded ${since(loadedAt, now)} ago`], paper)];
  if (ok !== false) return lines;
  const failed = `the reload ${since(at, now)} ago failed, the configuration before it stays in force:`;
  lines.push(line([{ text: failed, style: 'red' }], paper));
  for (const problem of Array.isArray(problems) ? problems : []) lines.push(line([`  ${text(problem)}`], paper));
  return lines;
}

const FRONTEND: readonly Column<Row>[] = [
  { title: 'FRONTEND', cell: ({ name }) => text(name), least: 10 },
  { title: 'ADDRESS', cell: ({ addresses }) => (Array.isArray(addresses) ? addresses.join(',') : UNKNOWN), least: 12 },
  { title: 'CONNS', cell: ({ connections }) => count(connections), align: 'right' },
  { title: 'NEW/S', cell: (row) => count(row['connectionsPerSecond']), align: 'right' },
  { title: 'TOTAL', cell: (row) => count(row['connectionsTotal']), align: 'right', rank: 1 },
  { title: 'REFUSED', cell: (row) => count(row['refusedTotal']), align: 'right' },
];

function backendLines(backend: Row, now: unknown, paper: Paper): string[] {
  const unresolved = rowsOf(backend['names']).filter(({ resolves }) => resolves === false);
  return [
    backendTitle(backend, paper),
    ...new Table(serverColumns(now), paper, '  ').lines(rowsOf(backend['servers'])),
    ...unresolved.map(({ server, address, since: at, reason }) => {
      const what = `  ${text(server)}: ${text(address)} does not resolve, for ${since(at, now)}: ${text(reason)}`;
      return line([{ text: what, style: 'yellow' }], paper);
    }),
  ];
}

export function backendTitle({ name, balance, queue, stickTable }: Row, paper: Paper): string {
  const { size, entries, shared } = rowOf(stickTable);
  const sticky =
    stickTable === false ? 'not sticky' : `${count(entries)} of ${count(size)} bindings${sharedBy(shared)}`;
  const waiting = Number(queue) > 0 ? `, ${count(queue)} wait` : '';
  return line([{ text: `backend ${text(name)}`, style: 'bold' }, `: ${text(balance)}, ${sticky}${waiting}`], paper);
}

/** What is seen of a server, in `status` and in `top`. */
export function serverColumns(now: unknown): readonly Column<Row>[] {
  return [
    { title: 'SERVER', cell: ({ name }) => text(name), least: 10 },
    { title: 'ADDRESS', cell: ({ address }) => text(address), least: 14, rank: 7 },
    { title: 'HEALTH', cell: healthOf },
    { title: 'STATE', cell: stateOf },
    { title: 'WEIGHT', cell: ({ weight }) => Number(Number(weight).toFixed(2)).toString(), align: 'right', rank: 6 },
    { title: 'CONNS', cell: ({ connections }) => count(connections), align: 'right' },
    { title: 'NEW/S', cell: (row) => count(row['connectionsPerSecond']), align: 'right', rank: 4 },
    { title: 'QUEUE', cell: ({ queue }) => count(queue), align: 'right', rank: 3 },
    { title: 'CLIENTS', cell: ({ clients }) => count(clients), align: 'right' },
    { title: 'IN/S', cell: (row) => bytes(row['bytesInPerSecond']), align: 'right' },
    { title: 'OUT/S', cell: (row) => bytes(row['bytesOutPerSecond']), align: 'right' },
    { title: 'CONNECT', cell: ({ connectMs }) => duration(connectMs), align: 'right', rank: 5 },
    { title: 'CHECK', cell: ({ checkMs }) => duration(checkMs), align: 'right', rank: 5 },
    { title: 'ERRORS', cell: ({ connectErrors }) => count(connectErrors), align: 'right', rank: 2 },
    { title: 'FOR', cell: ({ since: at }) => since(at, now), align: 'right' },
    { title: 'REASON', cell: (row) => reasonOf(row, now), least: 12, rank: 1 },
  ];
}

function healthOf({ up }: Row): Cell {
  if (typeof up !== 'boolean') return UNKNOWN;
  return up ? { text: 'up', style: 'green' } : { text: 'DOWN', style: 'red' };
}

function stateOf({ state, backup }: Row): Cell {
  const words = `${text(state)}${backup === true ? ',backup' : ''}`;
  return state === 'ready' ? words : { text: words, style: 'yellow' };
}

function reasonOf(row: Row, now: unknown): string {
  const { reason, storage, storageReason } = row;
  const unknown = storage === 'unknown' ? [`storage: unknown (${text(storageReason)})`] : [];
  const down = reason === '' || reason === undefined ? [] : [text(reason)];
  return [...down, ...unknown, ...orderOf(row, now)].join('; ');
}

/** Who put a server in drain or maint. */
function orderOf({ state, stateWho, stateBy, stateSince }: Row, now: unknown): string[] {
  if (state === 'ready' || typeof stateWho !== 'string') return [];
  const there = typeof stateBy === 'string' ? ` at ${stateBy}` : '';
  return [`${text(state)} by ${stateWho}${there}, ${since(stateSince, now)} ago`];
}

/** Nothing for a table that is the balancer's own. */
function sharedBy(shared: unknown): string {
  if (shared === null || shared === undefined) return '';
  const { up, reason, pending, answerMs, conflicts, states } = rowOf(shared);
  const left = Number(pending) > 0 ? `, ${count(pending)} to write` : '';
  const what = states === true ? 'shared table and states' : 'shared table';
  if (up !== true) return `, ${what} away: ${text(reason)}${left}`;
  const took = typeof answerMs === 'number' ? ` ${answerMs.toFixed(1)} ms away` : '';
  const gaveWay = Number(conflicts) > 0 ? `, ${counted(conflicts, 'conflict')}` : '';
  return `, ${what}${took}${left}${gaveWay}`;
}

function explainLines({ frontends, backends }: Row, paper: Paper): string[] {
  const refused = rowsOf(frontends).filter(({ admitted }) => admitted === false);
  return [
    ...refused.map(({ name, why }) => line([{ text: `${text(name)}: refused: ${text(why)}`, style: 'red' }], paper)),
    ...rowsOf(backends).flatMap((backend) => {
      const { name, why, connections, waiting, expiresMs, by, home, server, order } = backend;
      const facts = [
        ...(Number(connections) > 0 ? [`${counted(connections, 'connection')} open`] : []),
        ...(Number(waiting) > 0 ? [`${counted(waiting, 'connection')} waiting for a place`] : []),
        ...(typeof expiresMs === 'number' ? [`the binding expires in ${duration(expiresMs)}`] : []),
        ...(typeof by === 'string' ? [`${by} bound it`] : []),
        ...(typeof order === 'string' ? [order] : []),
        ...(typeof home === 'string' && home !== server ? [`its first server was ${home}`] : []),
      ];
      return [
        line([{ text: text(name), style: 'bold' }, `: ${text(why)}`], { ...paper, columns: Infinity }),
        ...(facts.length > 0 ? [printable(`  ${facts.join('; ')}`)] : []),
        ...rowsOf(backend['moves']).map(({ at, from, to, reason }) =>
          printable(`  ${text(at)} moved from ${text(from)} to ${text(to)}: ${text(reason)}`),
        ),
      ];
    }),
  ];
}

/** A value as text; null and what is missing are unknown. */
export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : UNKNOWN;
}
