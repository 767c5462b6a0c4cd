import { writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { printable } from '../config/locate.ts';
import { readText, reason } from '../config/named-files.ts';
import { importHaproxy } from '../import/haproxy.ts';
import { importNginx } from '../import/nginx.ts';
import { importTable } from './import-table.ts';
import { isNginx } from '../import/nginx-words.ts';
import type { Item } from '../import/outcome.ts';
import { reportLines, reportPage, summary } from '../import/report.ts';
import type { Call } from './commands.ts';

const LARGEST_FILE_BYTES = 512 << 10;

/**
 * `berth import FILE`: the balancer.yml to standard output, what became of each line to standard error. Returns the
 * exit code: 0 all carried, 1 something was not, 2 unreadable.
 */
export function importFile({ argument: file = '', values }: Call): number {
  const { report, table, state = 'berth.state' } = values as Record<string, string | undefined>;
  const text = textOf(file, LARGEST_FILE_BYTES);
  if (typeof text !== 'string') return complain(`cannot read ${file}: ${text.reason}`);
  const folder = dirname(resolve(file));
  const around = {
    environment: process.env,
    readList: (list: string) => listOf(resolve(folder, list)),
    locate: (named: string) => resolve(folder, named),
    stateFile: table === undefined ? undefined : resolve(state),
  };
  const imported = isNginx(text) ? importNginx(text, file, around) : importHaproxy(text, file, around);
  const { items } = imported;
  process.stderr.write(
    reportLines(file, items)
      .map((line) => `${line}\n`)
      .join(''),
  );
  if (imported.kind === 'unreadable') {
    for (const { line, message } of imported.faults)
      process.stderr.write(`${printable(`${file}:${line}: ${message}`)}\n`);
    return 2;
  }
  process.stderr.write(`${file}: ${summary(items)}\n`);
  if (table !== undefined) {
    try {
      process.stderr.write(`${table}: ${importTable(table, state, imported)}\n`);
    } catch (error) {
      return complain(`${table}: ${(error as Error).message}`);
    }
  }
  process.stdout.write(imported.yaml);
  if (report !== undefined && !written(report, file, items)) return 2;
  return items.some(({ is }) => is === 'lost') ? 1 : 0;
}

function written(report: string, file: string, items: readonly Item[]): boolean {
  try {
    writeFileSync(report, reportPage(file, items));
    return true;
  } catch (error) {
    complain(`cannot write ${report}: ${(error as Error).message}`);
    return false;
  }
}

function textOf(file: string, mostBytes?: number): string | { readonly reason: string } {
  try {
    return readText(file, mostBytes);
  } catch (error) {
    return { reason: reason(error) };
  }
}

/** The lines of a list without comments; undefined where the list cannot be read. */
function listOf(file: string): string[] | undefined {
  const text = textOf(file);
  if (typeof text !== 'string') return undefined;
  return text.split(/\r?\n/).flatMap((line) => {
    const entry = line.trim();
    return entry === '' || entry.startsWith('#') ? [] : [entry];
  });
}

function complain(message: string): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return 2;
}
