import { h, setAttribute } from './dom.ts';

/** What a table of servers is sorted by. */
export type Order = 'state' | 'name' | 'connections' | 'traffic' | 'clients';

type Column = { readonly text: string; readonly order?: Order; readonly direction?: 'ascending' | 'descending' };

const COLUMNS: readonly Column[] = [
  { text: 'State', order: 'state', direction: 'ascending' },
  { text: 'Server', order: 'name', direction: 'ascending' },
  { text: 'Weight' },
  { text: 'Connections', order: 'connections', direction: 'descending' },
  { text: 'In and out', order: 'traffic', direction: 'descending' },
  { text: 'Clients', order: 'clients', direction: 'descending' },
  { text: 'Waiting' },
  { text: 'Connect' },
];

export type ServerTable = {
  readonly element: HTMLElement;
  readonly body: HTMLElement;
  readonly order: Order;
};

/** An empty table of servers, with headings that sort it. `changed` is called when another order is chosen. */
export function serverTable(changed: () => void): ServerTable {
  let order: Order = 'state';
  const heads = COLUMNS.map((column) => {
    const head = h('th', { role: 'columnheader', scope: 'col' });
    if (column.order === undefined) head.append(column.text);
    else {
      const button = h('button', { type: 'button', class: 'sort' }, column.text);
      const chosen = column.order;
      button.addEventListener('click', () => {
        order = chosen;
        show();
        changed();
      });
      head.append(button);
    }
    return head;
  });
  function show(): void {
    for (const [i, head] of heads.entries()) {
      const column = COLUMNS[i];
      const isChosen = column?.order === order;
      setAttribute(head, 'aria-sort', isChosen ? column?.direction : undefined);
    }
  }
  show();
  const last = h('th', { role: 'columnheader', scope: 'col' }, h('span', { class: 'unseen' }, 'Change'));
  const body = h('tbody', { role: 'rowgroup' });
  const head = h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...heads, last));
  const element = h('table', { class: 'data servers', role: 'table' }, head, body);
  return {
    element,
    body,
    get order() {
      return order;
    },
  };
}
