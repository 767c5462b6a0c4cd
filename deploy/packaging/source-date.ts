/** The moment that what is made is dated by, so that the same source makes the same bytes. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

/**
 * In seconds: SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch), else when the last commit was made,
 * else, where there is no repository, the age of package.json.
 */
export function sourceDate(): number {
  const given = process.env['SOURCE_DATE_EPOCH'] ?? '';
  if (/^\d+$/.test(given)) return Number(given);
  try {
    const committed = execFileSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8', stdio: 'pipe' });
    return Number(committed);
  } catch {
    return Math.floor(statSync('package.json').mtimeMs / 1_000);
  }
}
