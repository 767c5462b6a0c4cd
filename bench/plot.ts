/** An SVG plot of how a figure grows: one line a contender. */
import type { Row } from './report.ts';

const [WIDTH, HEIGHT, MARGIN] = [600, 260, 44];
/** The names of the contenders stand beside their lines, so that no line crosses them. */
const NAMES = 110;
const COLOURS = ['#0a7', '#36c', '#93c', '#c60', '#888'];

/** `list` has the rows of one case-like group at several sizes; each row is a point of each contender's line. */
export function plot(title: string, unit: string, list: readonly Row[]): string {
  const labels = [...new Set(list.flatMap(({ contenders }) => Object.keys(contenders)))];
  const values = list.flatMap(({ contenders }) => Object.values(contenders).map(({ median }) => median));
  const [most, largest] = [Math.max(...values, 1e-9), Math.max(...list.map(({ size }) => size))];
  const x = (size: number): number => MARGIN + (size / largest) * (WIDTH - MARGIN - NAMES);
  const y = (value: number): number => HEIGHT - MARGIN - (Math.max(0, value) / most) * (HEIGHT - 2 * MARGIN);
  const lines = labels.map((label, i) => {
    const points = list
      .filter(({ contenders }) => label in contenders)
      .map(({ size, contenders }) => `${x(size).toFixed(1)},${y(contenders[label]?.median ?? 0).toFixed(1)}`);
    const colour = COLOURS[i % COLOURS.length];
    const marks = points.map((point) => `<circle r="3" fill="${colour}" ${at(point)}/>`);
    return (
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>${marks.join('')}` +
      `<text x="${WIDTH - NAMES + 10}" y="${MARGIN + i * 16}" fill="${colour}">${label}</text>`
    );
  });
  const ticks = list.map(
    ({ size }) => `<text x="${x(size).toFixed(1)}" y="${HEIGHT - MARGIN + 16}" text-anchor="middle">×${size}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<text x="${MARGIN}" y="20" font-size="13">${title}, ${unit}</text>`,
    `<text x="${MARGIN - 4}" y="${MARGIN}" text-anchor="end">${Number(most.toPrecision(3)).toLocaleString('en')}</text>`,
    `<text x="${MARGIN - 4}" y="${HEIGHT - MARGIN}" text-anchor="end">0</text>`,
    `<path d="M${MARGIN} ${MARGIN}V${HEIGHT - MARGIN}H${WIDTH - NAMES}" fill="none" stroke="#999"/>`,
    ...ticks,
    ...lines,
    '</svg>',
  ].join('\n');
}

/** `X,Y` of a point as the attributes of a circle. */
function at(point: string): string {
  const [x, y] = point.split(',');
  return `cx="${x}" cy="${y}"`;
}
