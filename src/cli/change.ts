/** The commands that change what runs. */
import { printable } from '../config/locate.ts';
import { Refusal, rowOf, Unreachable, withBalancer, type AdminClient, type Row } from './ask.ts';
import type { Call } from './commands.ts';
import { text } from './look.ts';
import { asJson, write } from './show.ts';
import { counted } from './units.ts';

/** `weight B/S N`. */
export function setWeight({ file, json, given: [server = '', weight] }: Call): Promise<number> {
  return withBalancer(file, async (client) => {
    const answer = await change(client, server, { weight: Number(weight) });
    const [{ name, weight: now }, before] = [rowOf(answer['server']), rowOf(answer['before'])];
    const words = `${text(name)} has weight ${text(now)}, before ${text(before['weight'])}${unheard(answer)}`;
    await write(json ? asJson(answer) : `${printable(words)}\n`);
    return 0;
  });
}

/** `end ID`, or `end` with --server or --client. */
export function end({ file, json, argument, values }: Call): Promise<number> {
  const { server, client: of } = values as { server?: string; client?: string };
  return withBalancer(file, async (client) => {
    const path = argument === undefined ? 'connections' : `connections/${encodeURIComponent(argument)}`;
    const answer = rowOf(await client.ask('DELETE', path, { server, client: of }));
    await write(json ? asJson(answer) : `${counted(answer['ended'], 'connection')} ended\n`);
    return 0;
  });
}

/** `unbind IP`, or `unbind` with --server or --all. */
export function unbind({ file, json, argument, values }: Call): Promise<number> {
  const { server, backend, all } = values as { server?: string; backend?: string; all?: string };
  const every = all === undefined ? {} : { backend: all, all: true };
  return withBalancer(file, async (client) => {
    const answer = rowOf(await client.ask('DELETE', 'table', { ip: argument, server, backend, ...every }));
    const words = `${counted(answer['unbound'], 'client')} unbound; open connections stay where they are`;
    await write(json ? asJson(answer) : `${words}\n`);
    return 0;
  });
}

/** A balancer is asked at the admin address of the file, but listens at the address of its last start or reload. */
const CHANGED = ' (if admin has changed in the file: undo that for the reload, or send it SIGHUP)';

/** `drain`, `maint` and `ready`, by the name of the state. */
export function setState(state: 'drain' | 'maint' | 'ready'): (call: Call) => Promise<number> {
  return (call) =>
    withBalancer(call.file, async (client) => {
      const answer = await change(client, call.argument ?? '', { state });
      await write(call.json ? asJson(answer) : `${serverInWords(answer)}\n`);
      return 0;
    });
}

export function reload({ file, json }: Call): Promise<number> {
  const work = async (client: AdminClient): Promise<number> => {
    try {
      const answer = rowOf(await client.ask('POST', 'reload'));
      await write(json ? asJson(answer) : 'reloaded\n');
      return 0;
    } catch (error) {
      if (!(error instanceof Refusal) || error.problems.length === 0) throw error;
      process.stderr.write('berth: the old configuration stays in force:\n');
      for (const problem of error.problems) process.stderr.write(`${printable(problem)}\n`);
      return 1;
    }
  };
  return withBalancer(file, work, (error) => {
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    const elsewhere = error instanceof Unreachable && (code === 'ECONNREFUSED' || code === 'ENOENT');
    return elsewhere || (error instanceof Refusal && error.status === 401) ? CHANGED : '';
  });
}

/** Changes a server, named `BACKEND/SERVER`. */
export async function change(client: AdminClient, server: string, wanted: Row): Promise<Row> {
  const path = `servers/${server.split('/').map(encodeURIComponent).join('/')}`;
  return rowOf(await client.ask('PUT', path, {}, wanted));
}

function serverInWords(answer: Row): string {
  const { name, state, connections, up, reason, clients } = rowOf(answer['server']);
  const moves = Number(answer['moves']);
  const moving = moves > 0 ? `; ${counted(moves, 'client')} to be moved` : '';
  const away = up === false ? `; it is down (${text(reason)})` : '';
  const leaving =
    away !== '' && moves === 0 && Number(clients) > 0 ? `: ${counted(clients, 'client')} to be moved` : '';
  const open = `${counted(connections, 'connection')} open`;
  return printable(`${text(name)} is ${text(state)}; ${open}${moving}${away}${leaving}${unheard(answer)}`);
}

/** Where states are shared with balancers that cannot be told now. */
const unheard = ({ shared }: Row): string =>
  shared === false ? '; the other balancers have not heard of it: they will when the shared table is back' : '';
