/** How long the charts look back. */
export const WINDOW_MS = 5 * 60_000;

/** A longer time without a sample is a gap: the page was hidden, or the balancer did not answer. */
const GAP_MS = 10_000;

export type Sample = { readonly atMs: number; readonly values: readonly number[] };

/** The last minutes of some values that are taken together. */
export class History {
  readonly samples: Sample[] = [];

  /** A moment has one sample. */
  add(atMs: number, values: readonly number[]): void {
    if (this.samples.at(-1)?.atMs === atMs) return;
    this.samples.push({ atMs, values });
    const oldest = atMs - WINDOW_MS;
    while ((this.samples[0]?.atMs ?? atMs) < oldest) this.samples.shift();
  }

  /** The greatest of all values. */
  get most(): number {
    return this.samples.reduce((most, { values }) => Math.max(most, ...values), 0);
  }

  /** The least, the greatest and the last of one of the values; undefined where there is no sample. */
  range(which: number): { least: number; most: number; last: number } | undefined {
    const all = this.samples.map(({ values }) => values[which] ?? 0);
    const last = all.at(-1);
    return last === undefined ? undefined : { least: Math.min(...all), most: Math.max(...all), last };
  }

  /**
   * The path of one of the values in a box of `width` by `height`: the last sample is at the right edge, `top` at the
   * upper one. A sample alone is a dot.
   */
  path(which: number, top: number, width: number, height: number): string {
    const endMs = this.samples.at(-1)?.atMs ?? 0;
    let [drawn, beforeMs] = ['', -Infinity];
    for (const { atMs, values } of this.samples) {
      const x = width * (1 - (endMs - atMs) / WINDOW_MS);
      const y = height * (1 - Math.min(1, (values[which] ?? 0) / top));
      const pen = atMs - beforeMs > GAP_MS ? 'M' : 'L';
      drawn += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      beforeMs = atMs;
    }
    return drawn.includes('L') ? drawn : drawn && `${drawn}h0`;
  }
}

/** The least of 1, 2, 5, 10, 20, … that is not below `value`: a scale that changes seldom. */
export function niceTop(value: number): number {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((step) => step * power >= value) ?? 10) * power;
}
