import { resolve } from 'node:path';
import { printable } from '../config/locate.ts';
import { readText, reason } from '../config/named-files.ts';
import { Refusal, rowOf, rowsOf, withBalancer, type AdminClient, type Row } from './ask.ts';
import type { Call } from './commands.ts';
import { text } from './look.ts';
import { asJson, write } from './show.ts';
import { counted } from './units.ts';

const SIGNS: Readonly<Record<string, string>> = { comes: '+', opens: '+', leaves: '-', closes: '-', changes: '~' };

/**
 * `berth diff [FILE]`: what a reload would change, of the balancer's own file, or if FILE were that file. Returns 0
 * where nothing would, 1 where something would, 2 where that cannot be said.
 */
export async function diff({ file, argument, json }: Call): Promise<number> {
  let draft: string | undefined;
  try {
    draft = argument === undefined ? undefined : readText(argument);
  } catch (error) {
    process.stderr.write(`berth: cannot read ${printable(argument ?? '')}: ${reason(error)}\n`);
    return 2;
  }
  let code = 2;
  await withBalancer(file, async (client) => (code = await compare(client, draft, argument ?? '', json)));
  return code;
}

async function compare(client: AdminClient, draft: string | undefined, name: string, json: boolean): Promise<number> {
  try {
    const question = { name: name === '-' ? 'standard input' : resolve(name) };
    const answer = rowOf(
      draft === undefined ? await client.ask('GET', 'plan') : await client.ask('POST', 'plan', question, draft),
    );
    await write(json ? asJson(answer) : `${inWords(answer)}\n`);
    return answer['same'] === true ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Refusal) || error.problems.length === 0) throw error;
    for (const problem of error.problems) process.stderr.write(`${printable(problem)}\n`);
    return 2;
  }
}

function inWords({ same, changes, clients, connections }: Row): string {
  if (same === true) return 'a reload would change nothing';
  const lines = rowsOf(changes).map(({ kind, what, detail, ...concerned }) => {
    const isBind = kind === 'opens' || kind === 'closes';
    const more = detail === '' ? '' : `: ${text(detail)}`;
    const said = isBind ? `bind ${text(detail)} of ${text(what)}` : `${text(what)}${more}`;
    return printable(`${SIGNS[text(kind)] ?? '~'} ${said}${whom(concerned)}`);
  });
  const placed = `${counted(clients, 'client')} would get a server anew`;
  return [...lines, `${placed}; ${counted(connections, 'open connection')} of what leaves would go on`].join('\n');
}

function whom({ clients, connections }: Row): string {
  const parts = [
    Number(clients) > 0 ? counted(clients, 'client') : '',
    Number(connections) > 0 ? counted(connections, 'connection') : '',
  ];
  const said = parts.filter((part) => part !== '');
  return said.length === 0 ? '' : ` (${said.join(', ')})`;
}
