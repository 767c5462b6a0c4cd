import type { BackendStatus, NameStatus, ServerStatus } from './answers.ts';
import { figure } from './chart.ts';
import { tally, tallyText, urgency, urgencyOf } from './condition.ts';
import { h, list, setHidden, setText, type Part } from './dom.ts';
import { bytesPerSecond, count, plural } from './format.ts';
import { Histories } from './histories.ts';
import { History } from './history.ts';
import { serverRow, type Row } from './server-row.ts';
import { serverTable, type Order } from './server-table.ts';

/** A backend, and what of it is wanted. */
export type Look = {
  readonly backend: BackendStatus;
  readonly nowMs: number;
  readonly filter: string;
  readonly onlyTrouble: boolean;
};

/** One backend: its figures, its charts, its servers. */
export function backendPart(change: (backend: string, server: ServerStatus) => void): Part<Look> {
  let shown: Look | undefined;
  const [title, facts] = [h('h3'), h('p', { class: 'facts' })];
  const held = figure('Connections', [{ name: '', write: count }]);
  const moved = figure('Traffic', [
    { name: 'in', write: bytesPerSecond },
    { name: 'out', write: bytesPerSecond },
  ]);
  const whole = { held: new History(), moved: new History() };
  const each = new Histories();
  const names = h('ul', { class: 'names' });
  const showNames = list<NameStatus>(names, ({ server }) => server, namePart);
  const table = serverTable(() => shown && showRows(shown, false));
  const rows = list<Row>(
    table.body,
    ({ server }) => server.name,
    () => serverRow(change),
  );
  const none = h('p', { class: 'none' });
  const figures = h('div', { class: 'figures' }, held.element, moved.element);
  const head = h('div', { class: 'backend-head' }, h('div', {}, title, facts), figures);
  const element = h('section', { class: 'backend' }, head, names, table.element, none);

  function showRows(look: Look, steady: boolean): void {
    const all = rowsOf(look, table.order, each);
    rows(all, steady);
    setText(none, look.backend.servers.length === 0 ? 'No server yet.' : 'No server is like this.');
    setHidden(none, all.length > 0);
    setHidden(table.element, all.length === 0);
  }

  return {
    element,
    update(look) {
      shown = look;
      const { backend, nowMs } = look;
      setText(title, backend.name);
      element.setAttribute('aria-label', `Backend ${backend.name}`);
      table.element.setAttribute('aria-label', `Servers of ${backend.name}`);
      setText(facts, factsOf(backend));
      whole.held.add(nowMs, [backend.connections]);
      whole.moved.add(nowMs, [backend.bytesInPerSecond, backend.bytesOutPerSecond]);
      each.add(backend.servers, nowMs);
      held.draw(whole.held);
      moved.draw(whole.moved);
      showNames(backend.names.filter(({ resolves }) => !resolves));
      // Nothing moves below a pointer that is about to press a button, nor below the focus.
      showRows(look, table.body.matches(':hover, :focus-within'));
    },
  };
}

/** The rows that are wanted, in the order that is wanted. */
function rowsOf({ backend, nowMs, filter, onlyTrouble }: Look, order: Order, each: Histories): Row[] {
  const wanted = backend.servers.filter(
    (server) => matches(server, filter) && (!onlyTrouble || urgency(server) < urgencyOf('up')),
  );
  const { tops } = each;
  return ordered(wanted, order).map((server) => ({
    backend: backend.name,
    server,
    nowMs,
    past: each.of(server.name),
    tops,
    clients: portion(server, backend),
  }));
}

function namePart(): Part<NameStatus> {
  const element = h('li');
  return {
    element,
    update: ({ server, address, reason }) => setText(element, `${server}: ${address} does not resolve: ${reason}`),
  };
}

function factsOf(backend: BackendStatus): string {
  const { balance, stickTable, queue, servers } = backend;
  const table = stickTable
    ? `${plural(stickTable.entries, 'client')} bound (room for ${count(stickTable.size)})${sharedBy(stickTable.shared)}`
    : 'not sticky';
  const most = skewOf(backend);
  return [
    tallyText(tally(servers)),
    balance,
    table,
    ...(most === undefined ? [] : [most]),
    ...(queue > 0 ? [`${plural(queue, 'connection')} waiting`] : []),
  ].join(' · ');
}

/** Empty for a table that is the balancer's own. */
function sharedBy(shared: Exclude<BackendStatus['stickTable'], false>['shared']): string {
  if (!shared) return '';
  return shared.up ? ', shared' : `, alone: the shared table is away (${shared.reason})`;
}

/** Who holds most clients, where that is much more than a share by weight. */
function skewOf(backend: BackendStatus): string | undefined {
  const all = bound(backend);
  const [most] = backend.servers.toSorted((a, b) => b.clients - a.clients);
  if (!most || all < 10) return undefined;
  const fair = fairShare(most, backend) ?? 1;
  const share = most.clients / all;
  return share > 1.5 * fair ? `${most.name} holds ${Math.round(100 * share)} % of the clients` : undefined;
}

function matches({ name, address, reason, state }: ServerStatus, filter: string): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${name} ${address} ${reason} ${state}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function portion(server: ServerStatus, backend: BackendStatus): Row['clients'] {
  if (!backend.stickTable) return undefined;
  const all = bound(backend);
  const most = Math.max(1, ...backend.servers.map(({ clients }) => clients));
  const fair = fairShare(server, backend);
  return {
    ofMost: server.clients / most,
    share: all === 0 ? 0 : server.clients / all,
    fair: fair === undefined || all === 0 ? undefined : (fair * all) / most,
  };
}

/** What a server's weight entitles it to, of 1; undefined where it gets no clients by its weight. */
function fairShare({ name }: ServerStatus, { servers }: BackendStatus): number | undefined {
  const sharing = servers.filter(
    ({ usable, backup, weight, state }) => usable && !backup && weight > 0 && state === 'ready',
  );
  const own = sharing.find((server) => server.name === name);
  return own && own.weight / sharing.reduce((all, { weight }) => all + weight, 0);
}

function bound({ servers }: BackendStatus): number {
  return servers.reduce((all, { clients }) => all + clients, 0);
}

const ORDERS: Readonly<Record<Order, (a: ServerStatus, b: ServerStatus) => number>> = {
  state: (a, b) => urgency(a) - urgency(b),
  name: (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }),
  connections: (a, b) => b.connections - a.connections,
  traffic: (a, b) => trafficOf(b) - trafficOf(a),
  clients: (a, b) => b.clients - a.clients,
};

/** Servers that are equal in this order stay as the file has them. */
function ordered(servers: readonly ServerStatus[], order: Order): ServerStatus[] {
  return servers.toSorted(ORDERS[order]);
}

function trafficOf({ bytesInPerSecond, bytesOutPerSecond }: ServerStatus): number {
  return bytesInPerSecond + bytesOutPerSecond;
}
