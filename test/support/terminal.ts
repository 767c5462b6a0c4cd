/** A real terminal, as a person has it: tmux keeps the screen, types the keys, and changes the size. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { BERTH_WORDS } from './berth.ts';
import { eventually } from './waiting.ts';

type Shell = {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** The program in the terminal: a bash that reads no file of its user's, unless another one is named. */
  readonly shell?: readonly string[];
};

/** A terminal in which a shell runs that calls this `berth` by its name; it is closed with the test. */
export class Terminal {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  static async open(t: TestContext, { columns = 80, rows = 24, env = {}, shell }: Shell = {}): Promise<Terminal> {
    const folder = mkdtempSync(join(tmpdir(), 'berth-terminal-'));
    const terminal = new Terminal(join(folder, 'tmux'));
    const bash = ['bash', '--norc', '--noprofile', '-i'];
    const variables = Object.entries({ PS1: '$ ', LC_ALL: 'C.UTF-8', ...env }).flatMap(([name, value]) => [
      '-e',
      `${name}=${value}`,
    ]);
    const size = ['-x', String(columns), '-y', String(rows)];
    terminal.#tmux('-f', '/dev/null', 'new-session', '-d', ...size, ...variables, ...(shell ?? bash));
    t.after(() => {
      terminal.#tmux('kill-server');
      rmSync(folder, { recursive: true, force: true });
    });
    await terminal.shows(/[$%] *$/);
    await terminal.run(`berth() { ${BERTH_WORDS} "$@"; }; clear`);
    return terminal;
  }

  /** Types a line, and the return key. */
  async run(line: string): Promise<void> {
    this.type(line);
    // A shell that still draws what was typed would take the key for a part of it.
    this.press('Enter');
  }

  type(text: string): void {
    this.#tmux('send-keys', '-l', '--', text);
  }

  /** Keys by tmux's names: `q`, `C-c`, `Up`, `Tab`. */
  press(...keys: readonly string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  /** What is on the screen; with `styled` the colours too, as the sequences that make them. */
  screen({ styled = false } = {}): string {
    return this.#tmux('capture-pane', '-p', ...(styled ? ['-e'] : []));
  }

  /** The screen, as soon as it has this. */
  async shows(wanted: RegExp | ((screen: string) => boolean)): Promise<string> {
    let screen = '';
    return eventually(
      () => `${String(wanted)} on the screen, which is:\n${screen}`,
      () => {
        screen = this.screen().trimEnd();
        return (typeof wanted === 'function' ? wanted(screen) : wanted.test(screen)) && screen;
      },
    );
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Whether a program has the alternate screen, and whether the cursor is to be seen. */
  modes(): { alternate: boolean; cursor: boolean; wrap: boolean } {
    const [alternate, cursor, wrap] = this.#tmux('display', '-p', '#{alternate_on}#{cursor_flag}#{wrap_flag}');
    return { alternate: alternate === '1', cursor: cursor === '1', wrap: wrap === '1' };
  }

  /** The process that has the terminal: what the shell has started last. */
  foreground(): number {
    const tty = this.#tmux('display', '-p', '#{pane_tty}').trim().replace('/dev/', '');
    const all = execFileSync('ps', ['-t', tty, '-o', 'pid=,stat='], { encoding: 'utf8' }).trim().split('\n');
    return Number(
      all
        .findLast((line) => line.includes('+'))
        ?.trim()
        .split(/ +/)[0],
    );
  }

  #tmux(...args: readonly string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8' });
  }
}
