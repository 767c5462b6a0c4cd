import { once } from 'node:events';
import type { AdminClient } from './ask.ts';
import { withBalancer } from './ask.ts';
import type { Call } from './commands.ts';
import { paperOf, type Paper } from './print.ts';

/** What a command shows of a running balancer, in portions: a list may be longer than memory should hold. */
export type Sight = {
  readonly lines: (client: AdminClient, paper: Paper) => AsyncIterable<readonly string[]>;
  /** Portions of a text in JSON. */
  readonly json: (client: AdminClient) => AsyncIterable<string>;
};

/** Shows it once, or with --watch again and again. */
export function show({ file, json, values }: Call, sight: Sight): Promise<number> {
  return withBalancer(file, async (client) => {
    if (values['watch'] === true) {
      const { watch } = await import('./watch.ts');
      return watch(client, sight, json);
    }
    for await (const text of json ? sight.json(client) : textOf(sight.lines(client, paperOf(process.stdout)))) {
      if (!(await write(text))) break;
    }
    return 0;
  });
}

async function* textOf(portions: AsyncIterable<readonly string[]>): AsyncGenerator<string> {
  for await (const lines of portions) yield lines.map((line) => `${line}\n`).join('');
}

/** Waits until standard output has room again. Resolves to whether anybody still reads it. */
export async function write(text: string): Promise<boolean> {
  const { stdout } = process;
  if (!stdout.writable) return false;
  if (text === '' || stdout.write(text)) return true;
  try {
    await once(stdout, 'drain');
    return true;
  } catch {
    // The reader has closed the pipe: `berth table | head`.
    return false;
  }
}

/** An answer as it came. */
export function asJson(answer: unknown): string {
  return `${JSON.stringify(answer, null, 2)}\n`;
}
