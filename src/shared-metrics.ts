import type { Counts } from './counts.ts';
import type { Backend } from './pool/backend.ts';
import { histogram, labelled, type Labels, type Read, type Sample } from './samples.ts';
import type { View } from './view.ts';

type SharedMetric = {
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly name: string;
  readonly help: string;
  readonly read: Read;
};
type Table = NonNullable<Backend['shared']>;

const PREFIX = 'stick_table_shared';

/** The metrics of stick tables that are shared with other balancers. */
export function sharedMetrics(view: View, counts: Counts): readonly SharedMetric[] {
  const each = (
    type: SharedMetric['type'],
    name: string,
    help: string,
    read: (table: Table, labels: Labels) => readonly Sample[],
  ): SharedMetric => ({
    type,
    name: `${PREFIX}_${name}`,
    help,
    read: () => view.backends.flatMap(({ name: backend, shared }) => (shared ? read(shared, { backend }) : [])),
  });
  const one = (type: SharedMetric['type'], name: string, help: string, value: (table: Table) => number): SharedMetric =>
    each(type, name, help, (table, labels) => [{ labels, value: value(table) }]);
  const won = ({ won: first, followed }: Table['counts']['claims'], labels: Labels): Sample[] =>
    labelled({ won: first, followed }, labels, 'result');
  return [
    one('gauge', 'up', 'Whether the shared table is reached; where it is not, this balancer decides alone', (table) =>
      Number(table.state?.up === true),
    ),
    one(
      'gauge',
      'pending',
      'What was bound, or said of servers, without the shared table, and is to be written',
      (table) => {
        return table.pending;
      },
    ),
    each('counter', 'claims_total', 'Bids for clients that are new here: won, or followed', (table, labels) =>
      won(table.counts.claims, labels),
    ),
    each(
      'counter',
      'moves_total',
      'Bids to move a client: won, or followed, where another had moved it',
      (table, labels) => won(table.counts.moves, labels),
    ),
    each('counter', 'reconciled_total', 'What was pending: written (won), or given up (followed)', (table, labels) =>
      won(table.counts.reconciled, labels),
    ),
    one('counter', 'conflicts_total', "Choices of this balancer that gave way to another balancer's", (table) => {
      return table.counts.conflicts;
    }),
    each('histogram', 'seconds', 'How long the shared table took to answer', (_, labels) =>
      histogram(`${PREFIX}_seconds`, counts.ofShared(labels['backend'] ?? ''), labels),
    ),
  ];
}
