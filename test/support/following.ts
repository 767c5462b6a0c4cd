/** A command of berth that goes on and on, read while it runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { TestContext } from 'node:test';
import { BERTH } from './berth.ts';
import { Changes, within } from './waiting.ts';

export class Following {
  out = '';
  err = '';
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  readonly #said = new Changes();
  #ended = false;

  constructor(args: readonly string[]) {
    const [program, ...rest] = [...BERTH, ...args];
    this.#child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
      this.#said.tell();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
      this.#said.tell();
    });
    this.exited = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.#ended = true;
        this.#said.tell();
        resolve(code ?? signal ?? 'SIGKILL');
      });
    });
  }

  /** Resolves as soon as standard output, or standard error, has this. */
  async says(wanted: RegExp, where: 'out' | 'err' = 'out'): Promise<void> {
    const what = (): string => `${String(wanted)} in ${where}; out:\n${this.out}\nerr:\n${this.err}`;
    await this.#said.until(
      what,
      () => wanted.test(this[where]),
      () => this.#ended,
    );
  }

  async stop(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.#child.kill(signal);
    return within(this.exited, `the command to end by ${signal}`);
  }
}

/** `berth ARGS`, ended with the test. */
export function follow(t: TestContext, ...args: readonly string[]): Following {
  const following = new Following(args);
  t.after(() => following.stop('SIGKILL'));
  return following;
}
