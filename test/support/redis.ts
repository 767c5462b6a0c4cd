/** A Redis of a test's own, with the real program: `redis-server`, or what `BERTH_REDIS` names, such as valkey-server. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createClient, type RedisClientType } from '@redis/client';
import { closedPort } from './listening.ts';
import { accepts, SETPRIV } from './processes.ts';
import { eventually } from './waiting.ts';

const PROGRAM = process.env['BERTH_REDIS'] ?? 'redis-server';

export type RedisOptions = {
  readonly args?: readonly string[];
  readonly port?: number;
};

export class RedisServer {
  readonly port: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'berth-redis-'));
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  readonly #clients: RedisClientType[] = [];

  constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.#args = args;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, or starts it again, empty. */
  async start(): Promise<void> {
    const args = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--dir',
      this.folder,
      ...this.#args,
    ];
    // It does not outlive the test, whatever ends that.
    this.#child = spawn(SETPRIV, ['--pdeathsig', 'KILL', PROGRAM, ...args], { stdio: 'ignore' });
    await eventually(`${PROGRAM} on port ${this.port}`, () => accepts(this.port));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends it, as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  /** A client of it, for the test to look with. */
  async client(password?: string): Promise<RedisClientType> {
    const client: RedisClientType = createClient({ url: this.url, ...(password === undefined ? {} : { password }) });
    client.on('error', () => {});
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) if (client.isOpen) client.destroy();
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Running, and ended with the test. */
export async function startRedis(t: Pick<TestContext, 'after'>, options: RedisOptions = {}): Promise<RedisServer> {
  const redis = new RedisServer(options.port ?? (await closedPort()), options.args ?? []);
  t.after(() => redis.stop());
  await redis.start();
  return redis;
}

/** Its first line, such as `Redis server v=7.0.15 …`. */
export const redisVersion = (): string =>
  spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout.split('\n', 1)[0] ?? '';
