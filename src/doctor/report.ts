import { formatEndpoint } from '../config/values.ts';
import type { Level } from './advice.ts';
import type { Finding } from './findings.ts';
import type { Node } from './node.ts';

/**
 * The report for people. One line for each finding; what users see and the remedy follow once, after the last finding
 * of a code. `findings` are sorted.
 */
export function inWords(findings: readonly Finding[], nodes: readonly Node[]): string {
  const lines = findings.flatMap(({ level, code, where, seen, users, mend }, i) => {
    const line = `${level} ${code} ${where}: ${seen}`;
    if (findings[i + 1]?.code === code) return [line];
    return [line, `  users: ${users}`, `  mend:  ${mend}`];
  });
  return `${[...lines, lastLine(findings, nodes)].join('\n')}\n`;
}

function lastLine(findings: readonly Finding[], nodes: readonly Node[]): string {
  const all = `${nodes.length} node${nodes.length === 1 ? '' : 's'}`;
  const { FAIL, WARN, INFO } = countsOf(findings);
  if (findings.length === 0) return `OK ${all} consistent`;
  return `${FAIL} FAIL, ${WARN} WARN, ${INFO} INFO on ${all}`;
}

/** The report for programs: one JSON object. */
export function inJson(findings: readonly Finding[], nodes: readonly Node[]): string {
  const report = {
    ok: !hasFailed(findings),
    nodes: nodes.map(({ label, endpoint }) => ({ name: label, address: formatEndpoint(endpoint) })),
    counts: countsOf(findings),
    findings,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** Whether the exit code is 1. */
export function hasFailed(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === 'FAIL');
}

function countsOf(findings: readonly Finding[]): Record<Level, number> {
  const count = (level: Level): number => findings.filter((found) => found.level === level).length;
  return { FAIL: count('FAIL'), WARN: count('WARN'), INFO: count('INFO') };
}
