import type { ServerStatus } from './answers.ts';
import { bar, chart } from './chart.ts';
import { complaint, conditionOf, shape } from './condition.ts';
import { h, setAttribute, setHidden, setText, type Part } from './dom.ts';
import { bytesPerSecond, clock, count, duration, milliseconds, perSecond } from './format.ts';
import type { Past } from './histories.ts';

/** A server, with what its row needs of its backend. */
export type Row = {
  readonly backend: string;
  readonly server: ServerStatus;
  /** The balancer's clock. */
  readonly nowMs: number;
  readonly past: Past;
  /** The scale of the charts. */
  readonly tops: { readonly held: number; readonly moved: number };
  /** Of all clients of the backend; `fair` by the weights. Undefined where the backend is not sticky. */
  readonly clients: { readonly ofMost: number; readonly share: number; readonly fair: number | undefined } | undefined;
};

/** A cell of two lines: the figure, and a smaller one below. */
function cell(label: string, className: string, ...more: readonly Node[]) {
  const [first, second] = [h('span', { class: 'first' }), h('span', { class: 'second' })];
  const lines = h('span', { class: 'lines' }, first, second);
  const element = h('td', { role: 'cell', class: className, 'data-label': label }, lines, ...more);
  return {
    element,
    show(one: string, two: string): void {
      setText(first, one);
      setText(second, two);
    },
  };
}

/** The row of one server in the table of its backend. */
export function serverRow(change: (backend: string, server: ServerStatus) => void): Part<Row> {
  let shown: Row | undefined;
  const mark = shape();
  const [word, since] = [h('span', { class: 'word' }), h('time', { class: 'second' })];
  const state = h('td', { role: 'cell', class: 'state', 'data-label': 'State' }, mark.element, word, since);
  const [name, address] = [h('span', { class: 'first' }), h('span', { class: 'second' })];
  const [flags, why] = [h('span', { class: 'flag' }), h('span', { class: 'why' })];
  const who = h('th', { role: 'rowheader', scope: 'row', class: 'who' }, name, flags, address, why);
  const weight = cell('Weight', 'number weight');
  const connectionChart = chart('connections', [{ name: '', write: count }]);
  const connections = cell('Connections', 'number charted', connectionChart.element);
  const trafficChart = chart('traffic', [
    { name: 'in', write: bytesPerSecond },
    { name: 'out', write: bytesPerSecond },
  ]);
  const traffic = cell('In and out', 'number charted', trafficChart.element);
  const portion = bar();
  const clients = cell('Clients', 'number charted', portion.element);
  const queue = cell('Waiting', 'number');
  const connect = cell('Connect', 'number');
  const button = h('button', { type: 'button', class: 'small' }, 'Change…');
  button.addEventListener('click', () => shown && change(shown.backend, shown.server));
  const act = h('td', { role: 'cell', class: 'act' }, button);
  const cells = [weight, connections, traffic, clients, queue, connect].map(({ element }) => element);
  const element = h('tr', { role: 'row' }, state, who, ...cells, act);

  return {
    element,
    update(row) {
      shown = row;
      const { server, nowMs, past, tops } = row;
      const condition = conditionOf(server);
      mark.show(condition);
      setText(word, server.up || server.state === 'ready' ? condition : `${condition}, ${server.state}`);
      setText(since, duration(nowMs - Date.parse(server.since)));
      setAttribute(since, 'datetime', server.since);
      setAttribute(since, 'title', `since ${clock(server.since)}`);
      setAttribute(element, 'data-condition', condition);
      setText(name, server.name);
      setText(address, server.address);
      setText(flags, server.backup ? 'backup' : '');
      setHidden(flags, !server.backup);
      setText(why, complaint(server) ?? '');
      setHidden(why, complaint(server) === undefined);
      const isOwn = server.weight === server.configuredWeight;
      weight.show(String(Number(server.weight.toFixed(2))), isOwn ? '' : `of ${server.configuredWeight}`);
      connections.show(count(server.connections), `${perSecond(server.connectionsPerSecond)}/s new`);
      connectionChart.draw(past.held, tops.held);
      traffic.show(`${bytesPerSecond(server.bytesInPerSecond)} in`, `${bytesPerSecond(server.bytesOutPerSecond)} out`);
      trafficChart.draw(past.moved, tops.moved);
      showClients(row, clients, portion);
      queue.show(count(server.queue), '');
      connect.show(
        milliseconds(server.connectMs),
        server.connectErrors > 0 ? `${count(server.connectErrors)} failed` : `check ${milliseconds(server.checkMs)}`,
      );
      setAttribute(button, 'aria-label', `Change ${server.name} of ${row.backend}`);
    },
  };
}

function showClients({ server, clients }: Row, at: ReturnType<typeof cell>, portion: ReturnType<typeof bar>): void {
  if (!clients) {
    at.show('–', 'not sticky');
    portion.show(0, undefined);
    return;
  }
  at.show(count(server.clients), `${Math.round(100 * clients.share)} %`);
  portion.show(clients.ofMost, clients.fair);
}
