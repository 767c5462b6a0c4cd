/** A batch is written when it has as many bytes, or when its first line is this old. */
const BATCH_BYTES = 15 << 10;
const BATCH_MS = 100;
/** A reader that has stopped reading costs lines, not memory and not connections. */
const MOST_WAITING_BYTES = 16 << 20;
/** How long an end waits for a reader that has stopped reading. */
const PATIENCE_MS = 5_000;

/** Calls back when `text` is written, or with the error that kept it from being written. */
export type Sink = (text: string, done: (error?: Error | null) => void) => void;

/**
 * Lines on their way to a reader who may be slow, stuck or gone: written in batches, never waited for, and dropped and
 * counted where they have no room. There is no timer while there is no line.
 */
export class Outlet {
  /** Lines that were dropped since the start. */
  dropped = 0;
  readonly #sink: Sink;
  readonly #most: number;
  /** What to say, as a line, when the reader reads again after `dropped` lines were. */
  readonly #notice: (dropped: number) => string;
  #waiting: string[] = [];
  #bytes = 0;
  #writing = 0;
  /** Dropped since the last notice. */
  #untold = 0;
  #timer: NodeJS.Timeout | undefined;
  #onIdle: (() => void) | undefined;

  constructor(sink: Sink, notice: (dropped: number) => string, most = MOST_WAITING_BYTES) {
    this.#sink = sink;
    this.#notice = notice;
    this.#most = most;
  }

  write(line: string): void {
    if (this.#bytes + line.length > this.#most) return this.#drop(1);
    this.#waiting.push(line);
    this.#bytes += line.length;
    if (this.#writing > 0) return;
    if (this.#bytes >= BATCH_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), BATCH_MS).unref();
  }

  /** Resolves when every line is written, or has waited for five seconds in vain. */
  async close(): Promise<void> {
    const written = new Promise<void>((resolve) => (this.#onIdle = resolve));
    const late = setTimeout(() => this.#onIdle?.(), PATIENCE_MS);
    if (this.#writing === 0) this.#flush();
    await written;
    clearTimeout(late);
    clearTimeout(this.#timer);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return this.#onIdle?.();
    const lines = this.#waiting;
    const bytes = this.#bytes;
    this.#waiting = [];
    this.#writing = lines.length;
    this.#sink(lines.join(''), (error) => {
      this.#writing = 0;
      this.#bytes -= bytes;
      if (error) this.#drop(lines.length);
      else this.#tell();
      this.#flush();
    });
  }

  #drop(count: number): void {
    this.dropped += count;
    this.#untold += count;
  }

  #tell(): void {
    if (this.#untold === 0) return;
    const line = this.#notice(this.#untold);
    this.#untold = 0;
    this.#waiting.push(line);
    this.#bytes += line.length;
  }
}
