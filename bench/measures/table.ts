/** The stick table alone, at several sizes: only Berth's, since no other can be asked. */
import type { TableFigures } from '../table.ts';
import { forkSibling, messageOf } from '../stage.ts';
import type { Measure, Reading } from './measure.ts';

const SIZES = [1_000, 200_000, 2_000_000];

export const table: Measure = {
  title: 'Stick table',
  async read(_stage, { quick, size }) {
    const found: Reading[] = [];
    for (const bindings of SIZES.map((each) => Math.round(each * size))) {
      if (quick && bindings > 200_000 * size) continue;
      const child = forkSibling('table', [String(bindings)], ['--expose-gc', '--max-old-space-size=4096']);
      const figures = await messageOf<TableFigures>(child, 'the table');
      for (const [unit, value] of Object.entries(figures)) {
        found.push({ case: `${bindings} bindings`, unit, contender: 'Berth', value });
      }
    }
    return found;
  },
};
