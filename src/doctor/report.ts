import { formatEndpoint } from '../config/values.ts';
import type { Level } from './catalog.ts';
import type { Finding } from './findings.ts';
import type { Node } from './node.ts';

/** One line a finding; what users see and the remedy follow the last one of a code. */
export function inWords(findings: readonly Finding[], nodes: readonly Node[]): string {
  const lines = findings.flatMap((one, i) => {
    const line = `${one.level} ${one.code} ${one.where}: ${one.seen}`;
    if (findings[i + 1]?.code === one.code) return [line];
    return [line, `  users: ${one.users}`, `  mend:  ${one.mend}`];
  });
  return `${[...lines, lastLine(findings, nodes)].join('\n')}\n`;
}

function lastLine(findings: readonly Finding[], nodes: readonly Node[]): string {
  const all = `${nodes.length} node${nodes.length === 1 ? '' : 's'}`;
  const { FAIL, WARN, INFO } = countsOf(findings);
  if (findings.length === 0) return `OK ${all} consistent`;
  return `${FAIL} FAIL, ${WARN} WARN, ${INFO} INFO on ${all}`;
}

export function inJson(findings: readonly Finding[], nodes: readonly Node[]): string {
  const report = {
    ok: !hasFailed(findings),
    nodes: nodes.map(({ label, endpoint }) => ({ name: label, address: formatEndpoint(endpoint) })),
    counts: countsOf(findings),
    findings,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

export function hasFailed(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === 'FAIL');
}

function countsOf(findings: readonly Finding[]): Record<Level, number> {
  const count = (level: Level): number => findings.filter((one) => one.level === level).length;
  return { FAIL: count('FAIL'), WARN: count('WARN'), INFO: count('INFO') };
}
