import type { Change, Outcome } from '../../control.ts';

/** A shorter value is no secret, and would be found everywhere. */
const LEAST_LETTERS = 4;

/**
 * What may be said of a draft. Whoever sends one may not be allowed to read the variables of the balancer's environment
 * and the files of this machine, which a draft can name. So what a problem quotes from there is left out, and the value
 * of a variable is written as the variable.
 */
export function discreet(
  outcome: Outcome<Change>,
  text: string,
  name: string,
  env: NodeJS.ProcessEnv = process.env,
): Outcome<Change> {
  const names = new Set([...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, variable = '']) => variable));
  const values = [...names].flatMap((variable) => {
    const value = env[variable] ?? '';
    return value.length < LEAST_LETTERS ? [] : [{ variable, pattern: new RegExp(escaped(value), 'gi') }];
  });
  const hidden = (said: string): string =>
    values.reduce((rest, { variable, pattern }) => rest.replace(pattern, () => `\${${variable}}`), said);
  if ('changes' in outcome) {
    return { changes: outcome.changes.map((one) => ({ ...one, what: hidden(one.what), detail: hidden(one.detail) })) };
  }
  const quotes = (problem: string): boolean => names.size > 0 || !problem.startsWith(`${name}:`);
  return {
    problems: outcome.problems.map((problem) => hidden(quotes(problem) ? problem.replace(/, got .*$/s, '') : problem)),
  };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
