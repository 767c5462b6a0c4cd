import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import type { NodeSettings } from '../support/node.ts';
import { accepts } from '../support/processes.ts';
import { listenBeside } from '../support/tls-proxy.ts';

const BOTH = ['s1 → s2', 's2 → s1'];

suite('berth doctor --write and --debug', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ names: ['registry.test'], nodes: 1 });
  });
  after(() => cluster.close());

  type Ending = { after(end: () => Promise<void>): void };
  const good = (): string => cluster.nodes[0]!.endpoint;
  async function another(t: Ending, settings: Partial<NodeSettings>): Promise<string> {
    const node = await cluster.addNode(settings);
    t.after(() => node.stop());
    return node.endpoint;
  }
  async function anotherRedis(t: Ending, ...more: string[]): Promise<string> {
    const port = await cluster.workspace.freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', cluster.workspace.dir, ...more];
    const redis = cluster.workspace.start({ name: `redis-${port}`, command: 'redis-server', args });
    await redis.waitFor('accepts no connection', () => accepts(port));
    t.after(() => redis.stop());
    return `127.0.0.1:${port}`;
  }

  test('storage split and Redis shared: the cache lies', async (t) => {
    const storage = join(cluster.workspace.dir, 'split');
    const servers = [good(), await another(t, { storage })];
    const { code, lines } = await doctor(cluster, { servers, args: ['--write'] });
    const expected = ['STORAGE_NOT_SHARED', 'CACHE_LIES'].flatMap((one) => BOTH.map((pair) => `FAIL ${one} ${pair}`));
    assert.deepEqual([code, lines], [1, expected]);
  });

  test('storage split, no Redis and secrets that differ: only the blobs show the storage', async (t) => {
    const storage = join(cluster.workspace.dir, 'split-too');
    const [s1, s2] = [await another(t, { redis: null }), await another(t, { redis: null, storage, secret: 'another' })];
    const { lines } = await doctor(cluster, { servers: [s1, s2], args: ['--write'] });
    const expected = ['SECRET_DIFFERS', 'BLOB_NOT_SHARED'].flatMap((one) => BOTH.map((pair) => `FAIL ${one} ${pair}`));
    assert.deepEqual(lines, expected);
  });

  test('a Redis of its own for each node: deletes are not seen', async (t) => {
    const servers = [good(), await another(t, { redis: await anotherRedis(t) })];
    const { code, lines } = await doctor(cluster, { servers, args: ['--write'] });
    assert.deepEqual([code, lines], [1, BOTH.map((pair) => `FAIL CACHE_NOT_SHARED ${pair}`)]);
    assert.deepEqual(
      (await doctor(cluster, { servers })).lines,
      [],
      'without --write nothing is stored, so nothing is seen',
    );
  });

  test('caches in memory: deletes are not seen', async (t) => {
    const { storage } = cluster.defaults;
    const override = {
      storage: {
        filesystem: { rootdirectory: storage },
        delete: { enabled: true },
        cache: { blobdescriptor: 'inmemory' },
      },
    };
    const nodes = [await another(t, { redis: null, override }), await another(t, { redis: null, override })];
    const { lines } = await doctor(cluster, { servers: nodes, args: ['--write'] });
    assert.deepEqual(
      lines,
      BOTH.map((pair) => `FAIL CACHE_NOT_SHARED ${pair}`),
    );
  });

  test('no cache at all is well', async (t) => {
    const servers = [await another(t, { redis: null }), await another(t, { redis: null })];
    assert.deepEqual((await doctor(cluster, { servers, args: ['--write'] })).lines, []);
  });

  test('a registry that does not delete is told apart, and is no failure', async (t) => {
    const { storage } = cluster.defaults;
    const override = { storage: { filesystem: { rootdirectory: storage }, delete: { enabled: false } } };
    const servers = [good(), await another(t, { override })];
    const { code, lines } = await doctor(cluster, { servers, args: ['--write'] });
    assert.deepEqual([code, lines], [0, ['INFO DELETE s2']]);
  });

  /** A node with such settings of Redis, and its debug address. */
  async function debugged(
    t: Ending,
    redis: Record<string, unknown> | undefined,
  ): Promise<{ node: string; debug: string }> {
    const debug = `127.0.0.1:${await cluster.workspace.freePort()}`;
    const { certificate, key } = await cluster.certificate('good');
    const node = await cluster.addNode({ redis: null });
    await node.stop();
    const http = {
      addr: node.endpoint,
      secret: cluster.defaults.secret,
      tls: { certificate, key },
      debug: { addr: debug },
    };
    await node.start({ override: { http, ...(redis ? { redis } : {}) } });
    t.after(() => node.stop());
    return { node: node.endpoint, debug };
  }

  test('the debug pages show Redis that differs, has no timeout, or shows its password, which is not printed', async (t) => {
    const timeouts = { dialtimeout: '1s', readtimeout: '1s', writetimeout: '1s' };
    const addr = cluster.defaults.redis!;
    const one = await debugged(t, { addr, db: 0, ...timeouts });
    const kinds: [Record<string, unknown> | undefined, string[], RegExp?][] = [
      [{ addr, db: 0, ...timeouts }, []],
      [{ addr, db: 1, ...timeouts }, ['FAIL REDIS_DIFFERS A, B'], /db 0; .*db 1/],
      [{ addr: '127.0.0.1:1', db: 0, ...timeouts }, ['FAIL REDIS_DIFFERS A, B'], /127\.0\.0\.1:1/],
      [undefined, ['FAIL REDIS_DIFFERS A, B'], /no Redis/],
      [{ addr, db: 0 }, ['WARN REDIS_NO_TIMEOUT B']],
      [{ addr, db: 0, ...timeouts, password: 'hunter2' }, ['WARN REDIS_PASSWORD_SHOWN B']],
    ];
    for (const [redis, expected, seen = /./] of kinds) {
      const two = await debugged(t, redis);
      const { lines, findings, out } = await doctor(cluster, {
        servers: [one.node, two.node],
        args: ['--debug', `${one.debug},${two.debug}`],
      });
      const named = lines.map((line) => line.replace(one.debug, 'A').replace(two.debug, 'B'));
      assert.deepEqual(named, expected, JSON.stringify(redis));
      if (expected.length > 0) assert.match(findings[0]?.seen ?? '', seen);
      assert.doesNotMatch(out, /hunter2/);
    }
  });

  test('a debug page that says unhealthy, that hangs, or that is not there is a failure', async () => {
    const sick = createServer((request, response) => {
      if (request.url !== '/debug/health') return void response.writeHead(404).end();
      response.writeHead(503).end('{"storagedriver_filesystem":"stat /var/lib/registry: input/output error"}');
    });
    const hung = createServer(() => {});
    const ports = [
      await listenBeside(cluster, sick),
      await listenBeside(cluster, hung),
      await cluster.workspace.freePort(),
    ];
    const { code, findings } = await doctor(cluster, {
      servers: [good()],
      args: ['--debug', ports.map((port) => `127.0.0.1:${port}`).join(',')],
    });
    assert.equal(code, 1);
    assert.deepEqual(
      findings.map((one) => one.code),
      ['DEBUG_HEALTH', 'DEBUG_HEALTH', 'DEBUG_HEALTH'],
    );
    const seen = findings.map((one) => one.seen).join('\n');
    assert.match(seen, /503: .*input\/output error/);
    assert.match(seen, /no whole answer within 5 s/);
    assert.match(seen, /connection refused/);
  });
});
