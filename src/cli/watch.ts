import { setTimeout as sleep } from 'node:timers/promises';
import { complain, isTold, type AdminClient } from './ask.ts';
import { line, paperOf } from './print.ts';
import { Screen } from './screen.ts';
import { write, type Sight } from './show.ts';

const EVERY_MS = 2_000;

/** Shows it again and again, on the whole terminal, or as one text after the other on a pipe. */
export async function watch(client: AdminClient, sight: Sight, json: boolean): Promise<number> {
  if (json || !process.stdout.isTTY) return watchOnPipe(client, sight, json);
  // A first answer before the terminal is borrowed: a call that can never work is a line on standard error.
  let shown = await linesOf(client, sight);
  let fault = '';
  const screen = new Screen(() => draw());
  const draw = (): void => {
    const paper = paperOf(process.stdout);
    const title = `${new Date().toTimeString().slice(0, 8)}, every ${EVERY_MS / 1000}s; q ends  `;
    screen.draw([
      line(
        [
          { text: title, style: 'dim' },
          { text: fault, style: 'red' },
        ],
        paper,
      ),
      ...shown,
    ]);
  };
  screen.open();
  try {
    for (;;) {
      draw();
      const code = await screen.pause(EVERY_MS);
      if (code !== undefined) return code;
      try {
        [shown, fault] = [await linesOf(client, sight), ''];
      } catch (error) {
        if (!isTold(error)) throw error;
        fault = error.message;
      }
    }
  } finally {
    screen.close();
  }
}

/** As many lines as the screen has room for. */
async function linesOf(client: AdminClient, sight: Sight): Promise<string[]> {
  const lines: string[] = [];
  for await (const portion of sight.lines(client, paperOf(process.stdout))) {
    lines.push(...portion);
    if (lines.length >= process.stdout.rows) break;
  }
  return lines;
}

async function watchOnPipe(client: AdminClient, sight: Sight, json: boolean): Promise<number> {
  for (let first = true; ; first = false) {
    try {
      if (json) {
        for await (const text of sight.json(client)) if (!(await write(text))) return 0;
      } else {
        for await (const lines of sight.lines(client, paperOf(process.stdout)))
          if (!(await write(lines.map((one) => `${one}\n`).join('')))) return 0;
        if (!(await write('\n'))) return 0;
      }
    } catch (error) {
      if (first || !isTold(error)) throw error;
      complain(error.message);
    }
    await sleep(EVERY_MS);
  }
}
