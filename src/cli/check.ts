import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/locate.ts';
import type { Config } from '../config/schema.ts';

/** `berth check`. Returns the exit code. */
export function check({ file }: { readonly file: string }): number {
  const config = configOrComplain(file, process.stdout);
  if (!config) return 2;
  const servers = Object.values(config.backends).flatMap((backend) => Object.keys(backend.servers));
  const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
  const parts = [
    count(Object.keys(config.frontends).length, 'frontend'),
    count(Object.keys(config.backends).length, 'backend'),
    count(servers.length, 'server'),
  ];
  process.stdout.write(`${file} is valid: ${parts.join(', ')}\n`);
  return 0;
}

/** The configuration; undefined where the file has problems, which are written to `out`, a line each. */
export function configOrComplain(file: string, out: NodeJS.WritableStream): Config | undefined {
  const loaded = loadConfig(file);
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) out.write(`${formatProblem(problem)}\n`);
  return undefined;
}
