import type { Labels, Sample } from './samples.ts';
import type { View } from './view.ts';

/** What the doctor has found on its last round. */
export function doctorMetrics(view: View) {
  const findings = (): Sample[] => {
    const { backend = '', findings: all = [] } = view.doctor ?? {};
    const counts = new Map<string, { labels: Labels; value: number }>();
    for (const { code, level } of all) {
      const before = counts.get(`${code} ${level}`)?.value ?? 0;
      counts.set(`${code} ${level}`, { labels: { backend, code, level }, value: before + 1 });
    }
    return [...counts.values()];
  };
  const lastRun = (): Sample[] => {
    const { backend = '', lastRunMs } = view.doctor ?? {};
    return lastRunMs === undefined ? [] : [{ labels: { backend }, value: lastRunMs / 1_000 }];
  };
  const gauge = (name: string, help: string, read: () => Sample[]) => ({ type: 'gauge', name, help, read }) as const;
  return [
    gauge('doctor_findings', 'What the last round of the doctor has found, by code and level', findings),
    gauge('doctor_last_run_timestamp_seconds', 'When the last round of the doctor came to its end', lastRun),
  ];
}
