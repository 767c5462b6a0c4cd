/** `events`: what the log says, as it happens. */
import { pretty } from '../pretty.ts';
import { withBalancer } from './ask.ts';
import type { Call } from './commands.ts';
import { eventsOf } from './event-stream.ts';
import { paperOf } from './print.ts';
import { write } from './show.ts';

/** So many past events are shown first, unless the call says how many: as `tail -f` does. */
const RECENT = 10;

export function events({ file, json, values }: Call): Promise<number> {
  const { only, recent = RECENT } = values as { only?: string; recent?: string };
  return withBalancer(file, async (client) => {
    for await (const heard of eventsOf(client, { events: only, recent }, new AbortController().signal)) {
      switch (heard.kind) {
        case 'event': {
          const line = json ? heard.line : pretty(heard.line, paperOf(process.stdout).colour);
          if (!(await write(`${line}\n`))) return 0;
          break;
        }
        case 'lost':
          process.stderr.write('berth: the balancer has gone away; waiting for it to come back\n');
          break;
        case 'back':
          process.stderr.write('berth: the balancer is back\n');
          break;
        default:
          heard satisfies never;
      }
    }
    return 0;
  });
}
