import { h, setAttribute, setText, svg } from './dom.ts';
import { UNKNOWN } from './format.ts';
import { niceTop, type History } from './history.ts';

const WIDTH = 300;
const HEIGHT = 48;

export type Line = { readonly name: string; readonly write: (value: number) => string };

export type Chart = { readonly element: SVGElement; draw(history: History, top: number): void };

/** A small chart of the last minutes. Who cannot see the lines is told the figures that they end at and lie between. */
export function chart(what: string, lines: readonly Line[]): Chart {
  const paths = lines.map((_, i) => svg('path', { class: `line line-${i}`, 'vector-effect': 'non-scaling-stroke' }));
  const area = svg('path', { class: 'area' });
  const box = { viewBox: `0 -1 ${WIDTH} ${HEIGHT + 2}`, preserveAspectRatio: 'none' };
  const element = svg('svg', { class: 'chart', role: 'img', 'aria-label': what, ...box }, area, ...paths);
  return {
    element,
    draw(history, top) {
      const ranges = lines.map((_, i) => history.range(i));
      for (const [i, path] of paths.entries())
        setAttribute(path, 'd', history.path(i, top, WIDTH, HEIGHT) || undefined);
      const first = paths.length === 1 ? (paths[0]?.getAttribute('d') ?? '') : '';
      // Only an unbroken line bounds an area.
      const whole = first.includes('L') && first.lastIndexOf('M') === 0;
      setAttribute(area, 'd', whole ? `${first}V${HEIGHT}H${first.slice(1).split(' ', 1)[0]}z` : undefined);
      setAttribute(element, 'aria-label', `${what}, last 5 minutes: ${told(lines, ranges)}`);
    },
  };
}

function told(lines: readonly Line[], ranges: readonly ReturnType<History['range']>[]): string {
  const each = lines.map(({ name, write }, i) => {
    const range = ranges[i];
    if (!range) return `${name} unknown`.trim();
    return `${name} now ${write(range.last)}, between ${write(range.least)} and ${write(range.most)}`.trim();
  });
  return each.join('; ');
}

/** A chart with its heading and its scale, for a backend. */
export function figure(title: string, lines: readonly Line[]): { element: HTMLElement; draw(history: History): void } {
  const picture = chart(title, lines);
  const values = lines.map(() => h('b'));
  const legend = lines.map(({ name }, i) =>
    h('span', { class: 'key' }, key(i, lines.length > 1), name === '' ? '' : `${name} `, values[i] ?? ''),
  );
  const scale = h('span', { class: 'scale', 'aria-hidden': 'true' });
  const element = h(
    'figure',
    { class: 'figure' },
    h('figcaption', {}, h('span', { class: 'caption' }, title), ...legend),
    h('div', { class: 'plot' }, picture.element, scale),
  );
  return {
    element,
    draw(history) {
      const top = niceTop(history.most);
      picture.draw(history, top);
      for (const [i, { write }] of lines.entries()) {
        const range = history.range(i);
        const value = values[i];
        if (value) setText(value, range ? write(range.last) : UNKNOWN);
      }
      setText(scale, lines[0]?.write(top) ?? '');
    },
  };
}

/** How the line of a name looks. */
function key(i: number, isNeeded: boolean): Node {
  if (!isNeeded) return document.createTextNode('');
  const line = svg('path', { class: `line line-${i}`, d: 'M0 4H16' });
  return svg('svg', { class: 'swatch', viewBox: '0 0 16 8', 'aria-hidden': 'true' }, line);
}

/** A bar from the left, as long as a share of 1, and a mark where a fair share would end. */
export function bar(): { element: SVGElement; show(share: number, fair: number | undefined): void } {
  const filled = svg('rect', { class: 'filled', x: '0', y: '1', height: '6', width: '0' });
  const mark = svg('rect', { class: 'mark', y: '0', height: '8', width: '2' });
  const element = svg(
    'svg',
    { class: 'bar', 'aria-hidden': 'true' },
    svg('rect', { class: 'track', x: '0', y: '1', height: '6', width: '100%' }),
    filled,
    mark,
  );
  return {
    element,
    show(share, fair) {
      setAttribute(filled, 'width', `${(100 * Math.min(1, share)).toFixed(1)}%`);
      setAttribute(mark, 'x', `${(100 * Math.min(1, fair ?? 0)).toFixed(1)}%`);
      setAttribute(mark, 'visibility', fair === undefined ? 'hidden' : undefined);
    },
  };
}
