import type { Session, Sessions } from './answers.ts';
import { byId, h, list, setHidden, setText, type Part } from './dom.ts';
import { bytes, bytesPerSecond, clock, count, duration, shortDuration } from './format.ts';

type Row = { readonly session: Session; readonly nowMs: number };

/** The busiest clients. `find` is asked where a client is chosen. */
export function sessionsPart(find: (client: string) => void): Part<{ sessions: Sessions; nowMs: number }> {
  const rows = list<Row>(
    byId('sessions-rows'),
    ({ session: { backend, client } }) => `${backend} ${client}`,
    () => rowPart(find),
  );
  return {
    element: byId('sessions'),
    update({ sessions: { items, total }, nowMs }) {
      setHidden(byId('sessions-table'), items.length === 0);
      setHidden(byId('sessions-none'), items.length > 0);
      const some = items.length < total ? `the ${items.length} busiest of ${count(total)}` : count(total);
      setText(byId('sessions-count'), total === 0 ? '' : some);
      const steady = byId('sessions-rows').matches(':hover, :focus-within');
      rows(
        items.map((session) => ({ session, nowMs })),
        steady,
      );
    },
  };
}

function rowPart(find: (client: string) => void): Part<Row> {
  let client = '';
  const button = h('button', { type: 'button', class: 'link-like' });
  button.addEventListener('click', () => find(client));
  const who = h('th', { role: 'rowheader', scope: 'row', class: 'who' }, button);
  const cell = (label: string, className = ''): HTMLElement =>
    h('td', { role: 'cell', 'data-label': label, class: className });
  const [server, does] = [cell('Server'), cell('Does')];
  const [rate, carried, connections, since] = [
    cell('Rate', 'number'),
    cell('Bytes', 'number'),
    cell('Connections', 'number'),
    cell('For', 'number'),
  ];
  return {
    element: h('tr', { role: 'row' }, who, server, does, rate, carried, connections, since),
    update({ session, nowMs }) {
      ({ client } = session);
      setText(button, client);
      button.setAttribute('aria-label', `Explain ${client}`);
      setText(server, session.server ?? 'none yet');
      server.title = session.backend;
      setText(does, session.direction);
      setText(rate, bytesPerSecond(session.bytesInPerSecond + session.bytesOutPerSecond));
      setText(carried, bytes(session.bytesIn + session.bytesOut));
      setText(connections, count(session.connections));
      setText(since, shortDuration(nowMs - Date.parse(session.since)));
      since.title = `since ${clock(session.since)}, quiet for ${duration(session.quietMs)}`;
    },
  };
}
