/** The whole terminal, borrowed: it is given back as it was, however the borrower ends. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
/** The cursor, the lines' wrapping and the screen as they were. */
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';
/** A terminal that knows these shows what stands between them at once; others ignore them. */
const [HOLD, SHOW] = ['\x1b[?2026h', '\x1b[?2026l'];

/** Signals that end the borrower, and its exit code then: 128 and the signal's number. */
const ENDS = { SIGINT: 0, SIGTERM: 143, SIGHUP: 129, SIGQUIT: 131 } as const;

export type Key = 'up' | 'down' | 'left' | 'right' | (string & {});
const NAMED: Readonly<Record<string, Key>> = { A: 'up', B: 'down', C: 'right', D: 'left' };

export class Screen {
  readonly #onKey: (key: Key) => void;
  readonly #redraw: () => void;
  /** The exit code, when somebody has ended it. */
  #code: number | undefined;
  #wake = (): void => {};
  #entered = false;
  /** What stands on the screen, so that only what has changed is written. */
  #shown: readonly string[] = [];

  /** `redraw` is called when the terminal has another size, or nothing of what was drawn. */
  constructor(redraw: () => void, onKey: (key: Key) => void = () => {}) {
    this.#redraw = redraw;
    this.#onKey = onKey;
  }

  get columns(): number {
    return process.stdout.columns;
  }

  get rows(): number {
    return process.stdout.rows;
  }

  open(): void {
    for (const [signal, code] of Object.entries(ENDS)) process.on(signal, () => this.#end(code));
    process.on('SIGCONT', this.#again);
    process.stdout.on('resize', this.#resized).on('error', () => this.#end(ENDS.SIGHUP));
    // The last resort: an error that nobody has caught.
    process.on('exit', this.#leave);
    if (process.stdin.isTTY) process.stdin.on('data', this.#typed).on('error', () => {});
    this.#enter();
  }

  /** Shows these lines, from the top; no line may be wider than the screen. */
  draw(lines: readonly string[]): void {
    if (!this.#entered) return;
    const shown = lines.slice(0, this.rows);
    const rows = Math.max(shown.length, this.#shown.length);
    const changed = Array.from({ length: rows }, (_, i) => i).filter((i) => shown[i] !== this.#shown[i]);
    this.#shown = shown;
    if (changed.length === 0) return;
    const text = changed.map((i) => `\x1b[${i + 1};1H\x1b[2K${shown[i] ?? ''}`).join('');
    process.stdout.write(`${HOLD}${text}${SHOW}`);
  }

  /** Resolves after so long; earlier, and to the exit code, if somebody ends it: `q`, Ctrl-C and Ctrl-D with 0. */
  pause(ms: number): Promise<number | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), this.#code === undefined ? ms : 0);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(this.#code);
      };
    });
  }

  close(): void {
    this.#leave();
    process.stdin.off('data', this.#typed).pause();
    process.stdout.off('resize', this.#resized);
    process.off('SIGCONT', this.#again).off('exit', this.#leave);
  }

  #end(code: number): void {
    this.#code ??= code;
    this.#wake();
  }

  #enter(): void {
    this.#entered = true;
    this.#shown = [];
    if (process.stdin.isTTY) process.stdin.setRawMode(true).resume();
    process.stdout.write(ENTER);
  }

  readonly #leave = (): void => {
    if (!this.#entered) return;
    this.#entered = false;
    process.stdout.write(LEAVE);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
  };

  readonly #again = (): void => {
    this.#enter();
    this.#redraw();
  };

  readonly #resized = (): void => {
    if (!this.#entered) return;
    this.#shown = [];
    process.stdout.write('\x1b[2J');
    this.#redraw();
  };

  readonly #typed = (bytes: Buffer): void => {
    for (const key of keysOf(bytes.toString('latin1'))) {
      if (key === 'q' || key === 'ctrl-c' || key === 'ctrl-d') this.#end(0);
      else if (key === 'ctrl-z') this.#suspend();
      else this.#onKey(key);
    }
  };

  /** The shell has the terminal, as it was, until it continues this process. */
  #suspend(): void {
    this.#leave();
    process.kill(process.pid, 'SIGTSTP');
  }
}

const ESCAPE = '\u001b';
const CONTROL = '\u0000-\u001f\u007f';
const KEYS = new RegExp(`${ESCAPE}(?:\\[[0-9;?<=>]*([@-~])?|O(.)?|)|([${CONTROL}])|([^])`, 'g');

/** What was typed: letters, `ctrl-c` and the like, and arrows. Other sequences of a terminal mean nothing. */
export function keysOf(typed: string): Key[] {
  const keys = typed.matchAll(KEYS);
  return [...keys].flatMap(([, csi, ss3, control, letter]) => {
    if (control !== undefined) return [`ctrl-${String.fromCharCode(control.charCodeAt(0) | 0x60)}`];
    const arrow = NAMED[csi ?? ss3 ?? ''];
    return letter ?? arrow ?? [];
  });
}
