/** A Redis of a test's own, with the real program: `redis-server`, or what `BERTH_REDIS` names, such as valkey-server. */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { createClient, type RedisClientType } from '@redis/client';
import { closedPort } from './listening.ts';
import { accepts, SETPRIV } from './processes.ts';
import { eventually } from './waiting.ts';

const PROGRAM = process.env['BERTH_REDIS'] ?? 'redis-server';
const CLI = PROGRAM.replace(/-server$/, '-cli');
const run = async (command: string, args: string[]): Promise<string> =>
  (await promisify(execFile)(command, args)).stdout;

export type RedisOptions = {
  readonly args?: readonly string[];
  readonly port?: number;
  /** What its file says, where it is to have one, line by line. */
  readonly file?: readonly string[];
};

export class RedisServer {
  readonly port: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'berth-redis-'));
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  readonly #clients: RedisClientType[] = [];

  constructor(port: number, { args = [], file }: RedisOptions) {
    this.port = port;
    const named = join(this.folder, 'redis.conf');
    if (file) writeFileSync(named, `${file.join('\n')}\n`);
    const common = ['--port', String(port), '--bind', '127.0.0.1', '--dir', this.folder];
    this.#args = [...(file ? [named] : []), ...common, ...args];
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, or starts it again, empty. */
  async start(): Promise<void> {
    // It does not outlive the test, whatever ends that.
    this.#child = spawn(SETPRIV, ['--pdeathsig', 'KILL', PROGRAM, ...this.#args], { stdio: 'ignore' });
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

type Test = Pick<TestContext, 'after'>;

/** Running, and ended with the test. */
export async function startRedis(t: Test, options: RedisOptions = {}): Promise<RedisServer> {
  const args = ['--save', '', ...(options.args ?? [])];
  const redis = new RedisServer(options.port ?? (await closedPort()), { ...options, args });
  t.after(() => redis.stop());
  await redis.start();
  return redis;
}

/** Three Sentinels that see to the primary, which they call `m`; `lines` are more of their files. */
export async function startSentinels(
  t: Test,
  primary: RedisServer,
  lines: readonly string[] = [],
): Promise<readonly RedisServer[]> {
  const monitor = [
    `monitor m 127.0.0.1 ${primary.port} 2`,
    'down-after-milliseconds m 2000',
    'failover-timeout m 3000',
  ];
  const file = [...monitor.map((line) => `sentinel ${line}`), ...lines];
  const start = async (): Promise<RedisServer> => {
    const sentinel = new RedisServer(await closedPort(), { args: ['--sentinel'], file });
    t.after(() => sentinel.stop());
    await sentinel.start();
    return sentinel;
  };
  return Promise.all([start(), start(), start()]);
}

/** Three primaries of a Redis Cluster, and a replica of the one that has the keys of backend `b`. */
export async function startCluster(
  t: Test,
): Promise<{ nodes: RedisServer[]; primary: RedisServer; replica: RedisServer }> {
  const start = async (): Promise<RedisServer> => {
    const args = [
      '--cluster-enabled',
      'yes',
      '--cluster-node-timeout',
      '1000',
      '--cluster-replica-validity-factor',
      '0',
    ];
    return startRedis(t, { args: [...args, '--cluster-port', String(await closedPort())] });
  };
  const nodes = [await start(), await start(), await start(), await start()];
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const cluster = (...args: string[]): Promise<string> => run(CLI, ['--cluster', ...args]);
  await cluster('create', ...addresses.slice(0, 3), '--cluster-yes');
  const looker = await nodes[0]!.client();
  const slot = Number(await looker.sendCommand(['CLUSTER', 'KEYSLOT', 'berth:{b}:']));
  const slots = await looker.sendCommand<[number, number, [string, number, string]][]>(['CLUSTER', 'SLOTS']);
  const [, , [, port, id]] = slots.find(([from, to]) => from <= slot && slot <= to)!;
  await cluster('add-node', addresses[3]!, addresses[0]!, '--cluster-slave', '--cluster-master-id', id);
  const [primary, replica] = [nodes.find((node) => node.port === port)!, nodes[3]!];
  const copy = await replica.client();
  await eventually('the replica', async () => (await copy.info('replication')).includes('master_link_status:up'));
  return { nodes, primary, replica };
}

/** Its first line, such as `Redis server v=7.0.15 …`. */
export const redisVersion = (): string =>
  spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout.split('\n', 1)[0] ?? '';
