/** The built program, run as an operator runs it: a balancer.yml in, JSON lines and metrics out. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve as absolute } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readLine, type LogLine } from './log-lines.ts';
import { yaml, type Settings } from './settings.ts';
import { Changes, eventually, within } from './waiting.ts';

export type { LogLine };

/** This file runs from .build/test/support/. */
export const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const NAMED = process.env['BERTH'];
/** The command `berth`: the program that was built here, or the one that the variable BERTH names. */
export const BERTH: readonly [string, ...string[]] = NAMED === undefined ? [process.execPath, CLI] : [absolute(NAMED)];
/** The same for a shell. */
export const BERTH_WORDS = BERTH.map((word) => `'${word}'`).join(' ');

export type BerthOptions = {
  /** Run it through another program, such as `['prlimit', '--nofile=64']`. */
  readonly through?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where its balancer.yml is to be, instead of in a folder that only we can read. */
  readonly file?: string;
  /** It will not say that it has started: `start` does not wait for it. */
  readonly quiet?: boolean;
  /** The directory that its own is made in. */
  readonly within?: string;
  /** Where its log goes besides. */
  readonly logFile?: string;
  /** The `berth` to run, instead of `BERTH`. */
  readonly program?: string;
  /** Descriptors of this process that it has too, as 3, 4, … */
  readonly descriptors?: readonly number[];
  /** Makes JSON of a line that it has written in another form; undefined where the line is nothing to look at. */
  readonly read?: (line: string) => string | undefined;
};

/** A running `berth start`. Its log is kept whole; what is waited for may be in it already. */
export class Berth {
  readonly lines: LogLine[] = [];
  stderr = '';
  /** The exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly folder: string;
  readonly file: string;
  readonly #child: ChildProcess;
  readonly #log = new Changes();
  #ended = false;

  constructor(config: Settings | string, options: BerthOptions = {}) {
    const { through = [], env = {}, logFile, file, descriptors = [], program, read = (line) => line } = options;
    this.folder = mkdtempSync(join(options.within ?? tmpdir(), 'berth-test-'));
    this.file = file ?? join(this.folder, 'balancer.yml');
    writeFileSync(this.file, yaml(config));
    const berth = program === undefined ? BERTH : [program];
    const [command, ...args] = [...through, ...berth, 'start', '-c', this.file];
    const stdio = ['ignore' as const, 'pipe' as const, 'pipe' as const, ...descriptors];
    this.#child = spawn(command, args, { stdio, env: { ...process.env, ...env } });
    if (logFile !== undefined) this.#child.stdout?.pipe(createWriteStream(logFile));
    let rest = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const json = read(line);
        if (json !== undefined) this.lines.push(readLine(json));
      }
      this.#log.tell();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.#ended = true;
        rmSync(this.folder, { recursive: true, force: true });
        this.#log.tell();
        resolve(code ?? signal ?? 'SIGKILL');
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The port of the first `listening` line of a frontend. */
  async port(frontend = 'f'): Promise<number> {
    const { address } = await this.line((line) => line.msg === 'listening' && line['frontend'] === frontend);
    return Number(/(\d+)$/.exec(String(address))?.[1]);
  }

  /** Where a frontend listens, one text for each of its binds. */
  async addresses(frontend = 'f'): Promise<string[]> {
    await this.line(({ msg }) => msg === 'started');
    return this.lines
      .filter((line) => line.msg === 'listening' && line['frontend'] === frontend)
      .flatMap(({ address }) => String(address).split(' '));
  }

  /** The first line, past or to come, that is `wanted`; `from` skips the first lines of the log. */
  async line(wanted: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    return this.until(() => this.lines.slice(from).find(wanted));
  }

  /** The first line about a server's going down or up, or its being given another state; `from` as above. */
  change(msg: 'server down' | 'server up' | 'server state', server: string, from = 0): Promise<LogLine> {
    return this.line((line) => line.msg === msg && line['server'] === server, from);
  }

  /** The `count` first connection lines, as soon as there are as many. */
  async connections(count: number): Promise<LogLine[]> {
    return this.until(() => {
      const lines = this.lines.filter(({ msg }) => msg === 'connection');
      return lines.length >= count ? lines : undefined;
    });
  }

  /** Looks again with each new line of the log until there is something to see. */
  async until<T>(look: () => T): Promise<Exclude<T, undefined | false>> {
    const log = (): string =>
      this.lines
        .slice(-20)
        .map((line) => JSON.stringify(line))
        .join('\n');
    const what = (): string => `a line of the log; standard error: ${this.stderr}\nlog:\n${log()}`;
    return this.#log.until(what, look, () => this.#ended);
  }

  /** GET on the metrics address. */
  async get(path: string): Promise<{ status: number; text: string }> {
    const { address } = await this.line(({ msg }) => msg === 'metrics listening');
    const response = await fetch(`http://${String(address)}${path}`);
    return { status: response.status, text: await response.text() };
  }

  /** One sample, such as `berth_server_up{backend="b",server="s1"}`. */
  async metric(sample: string): Promise<number | undefined> {
    const { text } = await this.get('/metrics');
    const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
    return line === undefined ? undefined : Number(line.slice(sample.length + 1));
  }

  /** Scrapes again and again until the sample has the value; resolves at once where it has it already. */
  async metricIs(sample: string, wanted: number | ((value: number) => boolean)): Promise<number> {
    const good = typeof wanted === 'function' ? wanted : (value: number) => value === wanted;
    let value: number | undefined;
    return eventually(
      () => `${sample} to be ${String(wanted)}; it is ${value}`,
      async () => {
        value = await this.metric(sample);
        return value !== undefined && good(value) ? value : undefined;
      },
    );
  }

  /** How it ended; rejects where it does not end by itself. */
  async exitCode(): Promise<number | NodeJS.Signals> {
    return within(this.exited, () => `it to end; standard error: ${this.stderr}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Nobody reads the log any more: what it writes from now on fails. */
  closeStandardOutput(): void {
    this.#child.stdout?.destroy();
  }

  /** The reader of the log stops reading: the pipe fills. */
  pauseStandardOutput(): void {
    this.#child.stdout?.pause();
  }

  resumeStandardOutput(): void {
    this.#child.stdout?.resume();
  }

  /** Ends it for good, however it is doing. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited.catch(() => {});
  }
}

/** A running `berth start` that listens, ended with the test. */
export async function start(t: TestContext, config: Settings | string, options?: BerthOptions): Promise<Berth> {
  const berth = new Berth(config, options);
  t.after(() => berth.stop());
  if (options?.quiet !== true) await berth.line(({ msg }) => msg === 'started');
  return berth;
}
