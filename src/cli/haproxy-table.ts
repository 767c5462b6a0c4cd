import { loadAdmin } from '../config/load.ts';
import { printable } from '../config/locate.ts';
import { readText, reason } from '../config/named-files.ts';
import { idsInOrder, parseServerIds, setTableLine, type Bound, type ServerIds } from '../import/set-table.ts';
import { readState } from '../state-file.ts';
import { AdminClient } from './ask.ts';
import { configOrComplain } from './check.ts';
import type { Call } from './commands.ts';

/**
 * `berth table --haproxy`: the bindings as lines for HAProxy's admin socket. They are asked of the balancer that runs
 * with `file`, or read from a state file. Returns the exit code: 0 all are printed, 1 some are not, 2 none can be had.
 */
export async function printForHaproxy({ file, values }: Call): Promise<number> {
  const { ids: dump, state } = values as Record<string, string | undefined>;
  let missing = 0;
  let networks = 0;
  try {
    const ids = idsOf(file, dump);
    if (!ids) return 2;
    for await (const bindings of state === undefined ? running(file) : kept(state)) {
      let text = '';
      for (const bound of bindings) {
        const line = setTableLine(bound, ids);
        if (line === undefined) missing++;
        else text += `${line}\n`;
        if (bound.client.includes('/')) networks++;
      }
      process.stdout.write(text);
    }
  } catch (error) {
    return say(2, (error as Error).message);
  }
  const how = 'HAProxy finds them by `stick on src,ipmask(…)`';
  if (networks > 0) say(0, `clients that are networks: ${networks}; ${how}`);
  return missing > 0 ? say(1, `bindings left out, since HAProxy has no such servers: ${missing}`) : 0;
}

/** Undefined where the configuration has problems, which have been written. Throws where the dump is none. */
function idsOf(file: string, dump: string | undefined): ServerIds | undefined {
  if (dump === undefined) {
    const config = configOrComplain(file, process.stderr);
    return config && idsInOrder(config.backends);
  }
  let text;
  try {
    text = readText(dump);
  } catch (error) {
    throw new Error(`cannot read ${dump}: ${reason(error)}`, { cause: error });
  }
  const ids = parseServerIds(text);
  if (!ids) throw new Error(`${dump}: it is not the output of \`show servers state\``);
  return ids;
}

/** What a running balancer says, a page at a time. */
async function* running(file: string): AsyncGenerator<readonly Bound[]> {
  const admin = loadAdmin(file);
  if (!admin) throw new Error(`cannot read the admin address from ${file}; berth check -c ${file} says what is wrong`);
  for await (const rows of new AdminClient(admin).pages('table')) yield rows as readonly Bound[];
}

async function* kept(file: string): AsyncGenerator<readonly Bound[]> {
  const bindings: Bound[] = [];
  const state = await readState(file, (line) => {
    if ('client' in line && line.ms > 0) bindings.push(line);
  });
  if (state.kind === 'none') throw new Error(`cannot read ${file}: no such file`);
  if ('reason' in state) throw new Error(`cannot read ${file}: ${state.reason}`);
  yield bindings;
}

function say(code: number, message: string): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return code;
}
