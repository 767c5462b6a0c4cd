/** docs/alerts.md, made from the alert rules of deploy/. */
import { readFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { parse } from 'yaml';

export const ALERTS = 'docs/alerts.md';
export const RULES = 'deploy/prometheus/alerts.yml';

export type Rule = {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
};

const HEAD = `<!-- Written by \`npm run reference\` from ${RULES}: change the texts there. -->

# The alerts

What Prometheus tells of Berth, by the rules of [alerts.yml](../${RULES}): how grave it is, and for how long it is so before the alert
fires; then what it means, what users see, and what to do. _critical_ is for somebody who is woken, _warning_ for the same day, _info_
for the next look. How to switch them on stands in [operating.md](operating.md#alerts).
`;

export function rules(): readonly Rule[] {
  const file = parse(readFileSync(RULES, 'utf8')) as { groups: readonly { rules: readonly Rule[] }[] };
  return file.groups.flatMap((group) => group.rules);
}

/** The whole page, as prettier leaves it. */
export async function alerts(): Promise<string> {
  const text = [HEAD, ...rules().map(section)].join('\n');
  return format(text, { ...(await resolveConfig(ALERTS)), filepath: ALERTS });
}

function section({ alert, labels, annotations, ...rule }: Rule): string {
  const text = annotations.description.replaceAll(/"((?:berth|dig) [^"]+)"/g, '`$1`');
  const [means = '', users = '', todo = ''] = text.split('\n');
  const when = rule.for === undefined ? 'at once' : `after ${rule.for}`;
  return `## ${alert}

_${labels.severity}, ${when}._ ${means}

- **Users:** ${users}
- **To do:** ${todo}

\`\`\`promql
${rule.expr}
\`\`\`
`;
}
