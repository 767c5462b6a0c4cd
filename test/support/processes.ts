/**
 * A workspace: one temporary directory with the programs that run in it, and the one owner of both. Whatever ends this
 * process (a normal end, an exception, Ctrl-C, even SIGKILL on Linux), no program started here outlives it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLines, Program, ProgramError } from './program.ts';

export const SETPRIV = '/usr/bin/setpriv';
const FATAL_SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/**
 * Below what Linux (32768) and macOS (49152) hand to outgoing connections, so that a port stays free while its program
 * is down.
 */
const PORTS = { first: 20_000, count: 12_000 };

export interface ProgramOptions {
  /** Names the log file and the messages. */
  name: string;
  command: string;
  args: string[];
  /** Added to the small environment that every program gets: nothing else is inherited. */
  env?: Record<string, string>;
  /** It is ended by SIGKILL with the workspace: an orderly end takes long and is no use to anybody. */
  expendable?: boolean;
}

export interface RunOptions {
  /** What it reads from its standard input. */
  input?: string;
  /** Default: two minutes. */
  timeoutMs?: number;
  env?: Record<string, string>;
}

export interface WorkspaceOptions {
  /** false: the caller sees to SIGINT, SIGTERM and SIGHUP itself. Default: they end everything, then this process. */
  handleSignals?: boolean;
}

/**
 * Opens a temporary directory; `close()` ends, in the reverse order of their start, all that was started in it and
 * removes it.
 */
export function openWorkspace(options: WorkspaceOptions = {}): Workspace {
  const workspace = new Workspace(mkdtempSync(join(tmpdir(), 'berth-')));
  workspace.guard(options.handleSignals ?? true);
  return workspace;
}

export class Workspace {
  readonly dir: string;
  #programs = new Set<Program>();
  #expendable = new WeakSet<Program>();
  #closers: (() => Promise<void>)[] = [];
  #givenPorts = new Set<number>();
  #unguard: () => void = () => {};
  #closing: Promise<void> | undefined;

  constructor(dir: string) {
    this.dir = dir;
    for (const name of ['log', 'home', 'tmp']) mkdirSync(join(dir, name));
  }

  guard(handleSignals: boolean): void {
    const atExit = () => this.closeNow();
    const signals = handleSignals ? (Object.keys(FATAL_SIGNALS) as (keyof typeof FATAL_SIGNALS)[]) : [];
    const onSignal = (signal: keyof typeof FATAL_SIGNALS) => process.exit(FATAL_SIGNALS[signal]); // runs atExit
    process.once('exit', atExit);
    for (const signal of signals) process.once(signal, onSignal);
    this.#unguard = () => {
      process.off('exit', atExit);
      for (const signal of signals) process.off(signal, onSignal);
    };
  }

  /** Starts a program and returns at once; `program.waitFor` waits for it to be of use. */
  start({ name, command, args, env, expendable = false }: ProgramOptions): Program {
    if (this.#closing) throw new Error(`${name} cannot start: the workspace is closed`);
    const logFile = join(this.dir, 'log', `${name}.log`);
    const log = openSync(logFile, 'a');
    const logStart = fstatSync(log).size;
    // A process group of its own: Ctrl-C in a terminal then reaches only us, and we end things in order.
    const child = this.#spawn(command, args, ['ignore', log, log], env);
    closeSync(log);
    const program = new Program(name, child, logFile, logStart);
    this.#programs.add(program);
    if (expendable) this.#expendable.add(program);
    void program.ended.then(() => this.#programs.delete(program));
    return program;
  }

  /** Runs a command to its end; returns its standard output, or throws COMMAND_FAILED with the end of what it said. */
  async run(command: string, args: string[], options: RunOptions = {}): Promise<string> {
    if (this.#closing) throw new Error(`${command} cannot run: the workspace is closed`);
    const { input = '', timeoutMs = 120_000, env } = options;
    const child = this.#spawn(command, args, ['pipe', 'pipe', 'pipe'], env);
    const program = new Program(command, child);
    this.#programs.add(program);
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => (output[name] += text));
    }
    child.stdin?.on('error', () => {}); // it may end without reading
    child.stdin?.end(input);
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const timer = setTimeout(() => program.signal('SIGKILL'), timeoutMs);
    const started = performance.now();
    const ending = await program.ended;
    if (child.pid !== undefined) await closed; // the last of its output
    clearTimeout(timer);
    this.#programs.delete(program);
    if (child.exitCode === 0) return output.stdout;
    const why = performance.now() - started >= timeoutMs ? `not done within ${timeoutMs / 1000} s` : ending;
    const said = lastLines(`${output.stdout}\n${output.stderr}`, 8);
    throw new ProgramError('COMMAND_FAILED', `${command} ${args[0] ?? ''}: ${why}\n${said}`);
  }

  /** A loopback port that nothing listens on and that this workspace has not given before. */
  async freePort(address = '127.0.0.1'): Promise<number> {
    for (;;) {
      const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
      if (this.#givenPorts.has(port) || !(await canListen(port, address))) continue;
      this.#givenPorts.add(port);
      return port;
    }
  }

  /** `close` is called, before any program is ended, when the workspace closes. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Ends everything in order and removes the directory. Calling it again returns the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  /** The same by force, for the last moment of this process, when nothing can be waited for. */
  closeNow(): void {
    this.#closing ??= Promise.resolve();
    for (const program of this.#programs) program.signal('SIGKILL');
    this.#remove();
  }

  async #closeAll(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
    for (const program of [...this.#programs].toReversed()) {
      await (this.#expendable.has(program) ? program.kill() : program.stop());
    }
    this.#remove();
    this.#unguard();
  }

  #remove(): void {
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }); // what is dying may still write
  }

  #spawn(
    command: string,
    args: string[],
    stdio: ('ignore' | 'pipe' | number)[],
    env?: Record<string, string>,
  ): ChildProcess {
    const home = join(this.dir, 'home');
    const base = {
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`,
      HOME: home,
      TMPDIR: join(this.dir, 'tmp'),
      LC_ALL: 'C.UTF-8',
    };
    // The kernel ends it when this process ends in a way that leaves no time for anything, as by SIGKILL.
    const whole = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', command, ...args] : [command, ...args];
    const options = { cwd: this.dir, detached: true, stdio, env: { ...base, ...env } };
    return spawn(whole[0] ?? command, whole.slice(1), options);
  }
}

/** Whether a connection is accepted right now. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 1_000 });
    const answer = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.once('timeout', () => answer(false));
  });
}

function canListen(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: address, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
