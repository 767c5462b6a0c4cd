/** A program that was started: how it goes, what it says, how it ends. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './waiting.ts';

/**
 * A command that ended with another code than 0, or a program that did not come up: `message` carries the end of its
 * output.
 */
export class ProgramError extends Error {
  readonly code: 'COMMAND_FAILED' | 'NOT_READY';

  constructor(code: ProgramError['code'], message: string) {
    super(message);
    this.name = 'ProgramError';
    this.code = code;
  }
}

/**
 * One running program; its standard output and standard error go to `logFile`, which several runs of one name share.
 */
export class Program {
  readonly name: string;
  readonly logFile: string;
  /** How it ended, in words; never rejects. */
  readonly ended: Promise<string>;
  #child: ChildProcess;
  /** Where in the log file this run begins. */
  #logStart: number;
  #ending: string | undefined;

  constructor(name: string, child: ChildProcess, logFile = '', logStart = 0) {
    this.name = name;
    this.logFile = logFile;
    this.#child = child;
    this.#logStart = logStart;
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve((this.#ending = error.message)));
      child.once('exit', (code, signal) =>
        resolve((this.#ending = signal ? `ended by ${signal}` : `exit code ${code}`)),
      );
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get running(): boolean {
    return this.#ending === undefined;
  }

  /** SIGTERM, then SIGKILL when it has not ended in time. */
  async stop(graceMs = 5_000): Promise<void> {
    this.signal('SIGTERM');
    this.signal('SIGCONT'); // a frozen program would never see the SIGTERM
    const outcome = await Promise.race([this.ended, sleep(graceMs, undefined, { ref: false })]);
    if (outcome === undefined) await this.kill();
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  /** Sent to the program's own process group; does nothing once it has ended, so that a recycled pid is never hit. */
  signal(signal: NodeJS.Signals): void {
    if (!this.running || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // It has just ended.
    }
  }

  /** What this run has said. */
  log(): string {
    return this.#readLog().subarray(this.#logStart).toString();
  }

  /** What all runs of this name have said: what to look for in it may be of an earlier one. */
  history(): string {
    return this.#readLog().toString();
  }

  /** The last of what this run has said. */
  tail(lines = 15): string {
    return lastLines(this.log(), lines);
  }

  /**
   * The lines of its history that are JSON objects, oldest first; what is half written or plain text is left out.
   */
  records(): Record<string, unknown>[] {
    return this.history()
      .split('\n')
      .flatMap((line) => {
        if (!line.startsWith('{')) return [];
        try {
          return [JSON.parse(line) as Record<string, unknown>];
        } catch {
          return [];
        }
      });
  }

  /**
   * Looks until it is so. Throws NOT_READY, with the end of the log, at the deadline and as soon as the program has
   * ended.
   */
  async waitFor(what: string, look: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
    const seen = async (): Promise<'so' | 'ended' | false> => ((await look()) ? 'so' : !this.running && 'ended');
    if ((await eventually(what, seen, timeoutMs).catch(() => 'late')) === 'so') return;
    const why = this.#ending ?? `not within ${timeoutMs / 1000} s`;
    throw new ProgramError('NOT_READY', `${this.name}: ${what}: ${why}\n${this.tail() || '(its log is empty)'}`);
  }

  #readLog(): Buffer {
    return existsSync(this.logFile) ? readFileSync(this.logFile) : Buffer.alloc(0);
  }
}

export function lastLines(text: string, count: number): string {
  return text.trim().split('\n').slice(-count).join('\n');
}
