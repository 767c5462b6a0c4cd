import type { Distribution } from './counts.ts';

export type Labels = Readonly<Record<string, string>>;
/** A value of a metric, and of which of its series; `metricName` where a metric has series of several names. */
export type Sample = { readonly metricName?: string; readonly labels: Labels; readonly value: number };
/** What a metric is read from: its samples now. */
export type Read = () => readonly Sample[];

/** One sample for each key of `counts`. */
export function labelled(counts: Readonly<Record<string, number>>, labels: Labels, label: string): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({ labels: { ...labels, [label]: key }, value }));
}

/** Each bucket counts what lies below it, too. */
export function histogram(suffix: string, { bounds, counts, sum }: Distribution, labels: Labels): Sample[] {
  const name = `berth_${suffix}`;
  let below = 0;
  const buckets = counts.map((count, i) => {
    below += count;
    const le = i < bounds.length ? String(bounds[i]) : '+Inf';
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: below },
  ];
}
