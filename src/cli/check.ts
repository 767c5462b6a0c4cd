import { isIP } from 'node:net';
import { loadConfig, type Loaded } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/locate.ts';
import type { Finding } from '../config/rules.ts';
import type { Config, ServerConfig } from '../config/schema.ts';
import { ownFrontends } from '../config/warnings.ts';
import { lookUp, lookUpService } from '../names/look-up.ts';

export type CheckCall = { readonly file: string; readonly json: boolean; readonly resolve: boolean };

/** `berth check`. Returns the exit code: warnings leave it 0. */
export async function check({ file, json, resolve }: CheckCall): Promise<number> {
  const loaded = loadConfig(file);
  const warnings = loaded.kind === 'problems' ? [] : [...loaded.warnings, ...(resolve ? await unresolved(loaded) : [])];
  const problems = loaded.kind === 'problems' ? loaded.problems : [];
  const counts = loaded.kind === 'problems' ? undefined : countsOf(loaded.config);
  if (json) {
    const answer = { file, valid: problems.length === 0, problems, warnings, ...counts };
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
  } else {
    const lines = [
      ...problems.map(formatProblem),
      ...warnings.map((warning) => formatProblem({ ...warning, message: `warning: ${warning.message}` })),
      ...(counts ? [`${file} is valid: ${inWords(counts)}`] : []),
    ];
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  }
  return loaded.kind === 'problems' ? 2 : 0;
}

/** The configuration; undefined where the file has problems, which are written to `out`, a line each. */
export function configOrComplain(file: string, out: NodeJS.WritableStream): Config | undefined {
  const loaded = loadConfig(file);
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) out.write(`${formatProblem(problem)}\n`);
  return undefined;
}

type Counts = { readonly frontends: number; readonly backends: number; readonly servers: number };

function countsOf({ frontends, backends }: Config): Counts {
  const servers = Object.values(backends).flatMap((backend) => Object.keys(backend.servers));
  return {
    frontends: Object.keys(frontends).length,
    backends: Object.keys(backends).length,
    servers: servers.length,
  };
}

function inWords(counts: Counts): string {
  return Object.entries(counts)
    .map(([noun, n]) => `${n} ${n === 1 ? noun.slice(0, -1) : noun}`)
    .join(', ');
}

/** A warning for each server whose name has no address here and now, or leads back to a frontend. */
async function unresolved({ config, place }: Loaded & { kind: 'config' }): Promise<Problem[]> {
  const lead = ownFrontends(config);
  const all = Object.entries(config.backends).flatMap(([backend, { servers }]) =>
    Object.entries(servers).map(async ([server, { address }]): Promise<Finding[]> => {
      const why = await missing(address, lead);
      const path = ['backends', backend, 'servers', server];
      return why === undefined ? [] : [{ path, message: why }];
    }),
  );
  return (await Promise.all(all)).flat().map(place);
}

/** Why an address leads to no server; undefined if it leads to one. */
async function missing(
  address: ServerConfig['address'],
  lead: ReturnType<typeof ownFrontends>,
): Promise<string | undefined> {
  const name = 'discover' in address ? address.name : address.host;
  try {
    if ('discover' in address && address.discover === 'srv')
      return (await lookUpService(name)).length === 0 ? `${name} names no server` : undefined;
    const { port } = address;
    const { addresses } = await lookUp(name);
    // Of an address and of localhost it was said without a question.
    const back = isIP(name) === 0 && name.toLowerCase() !== 'localhost';
    return back ? addresses.map((host) => lead({ host, port })).find((said) => said !== undefined) : undefined;
  } catch (error) {
    return `${name} does not resolve here: ${(error as Error).message}`;
  }
}
