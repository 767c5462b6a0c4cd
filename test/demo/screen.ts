/** What the demo prints, and how it words its figures. */

/** Lines of finished steps, and on a terminal one line below them that shows what is going on. */
export class Screen {
  #live = process.stdout.isTTY && process.env['TERM'] !== 'dumb';
  #colour = this.#live && !process.env['NO_COLOR'];
  #frame = 0;
  #silent = false;

  title(text: string): void {
    this.say(`\n${this.#paint(1, text)}`);
  }

  done(text: string): void {
    this.say(`  ${this.#paint(32, '✓')} ${text}`);
  }

  fact(name: string, text: string): void {
    this.say(`    ${name.padEnd(12)}${text}`);
  }

  say(text: string): void {
    if (this.#silent) return;
    process.stdout.write(`${this.#live ? '\r\x1b[K' : ''}${text}\n`);
  }

  /** The last word: a step that goes on after Ctrl-C has nothing to add. */
  end(text: string): void {
    this.say(text);
    this.#silent = true;
  }

  /** Shows `what` and the seconds while `task` lasts. `detail` adds what is known by then. */
  async during<T>(what: string, task: () => Promise<T>, detail = async (): Promise<string> => ''): Promise<T> {
    if (!this.#live) return task();
    const started = performance.now();
    let more = '';
    const timer = setInterval(() => {
      if (this.#silent) return;
      if (this.#frame++ % 3 === 0) void detail().then((text) => (more = text), Boolean);
      const spinner = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'[this.#frame % 10];
      const text = `${spinner} ${what} ${seconds((performance.now() - started) / 1000)}${more}`;
      process.stdout.write(`\r  ${text.slice(0, (process.stdout.columns ?? 80) - 3)}\x1b[K`);
    }, 100);
    try {
      return await task();
    } finally {
      clearInterval(timer);
      if (!this.#silent) process.stdout.write('\r\x1b[K');
    }
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
export const seconds = (value: number) => `${value.toFixed(value < 0.1 ? 3 : 1)} s`;
export const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
export const rate = (bytes: number, took: number) =>
  `${megabytes(bytes)} in ${seconds(took)} (${Math.round(bytes / 1e6 / took)} MB/s)`;

/** How often each value occurs, most frequent first: `20 stuck, 1 redispatched`. */
export function tally(values: string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a);
  return sorted.map(([value, count]) => `${count} ${value}`).join(', ') || 'none';
}
