import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { commandWith } from '../support/operator.ts';
import { settings, yaml } from '../support/settings.ts';
import type { NodeSettings } from '../support/node.ts';
import { proxyBefore, type Lie } from '../support/tls-proxy.ts';
import { eventually } from '../support/waiting.ts';

suite('berth doctor and storage', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ names: ['registry.test'], redis: false, nodes: 2 });
  });
  after(() => cluster.close());

  const good = (): string => cluster.nodes[0]!.endpoint;
  async function another(t: { after(end: () => Promise<void>): void }, own: Partial<NodeSettings>): Promise<string> {
    const node = await cluster.addNode(own);
    t.after(() => node.stop());
    return node.endpoint;
  }

  for (const [what, secret] of [
    ['differs', 'another secret'],
    ['is not set on one node', null],
  ] as const) {
    test(`a secret that ${what} shows in both directions, and nothing else`, async (t) => {
      const { code, lines, findings } = await doctor(cluster, { servers: [good(), await another(t, { secret })] });
      assert.deepEqual([code, lines], [1, ['FAIL SECRET_DIFFERS s1 → s2', 'FAIL SECRET_DIFFERS s2 → s1']]);
      assert.match(findings[0]?.users ?? '', /blob upload invalid/);
    });
  }

  test('of three nodes the one with another secret shows in every pair', async (t) => {
    const servers = [...cluster.nodes.slice(0, 2).map(({ endpoint }) => endpoint), await another(t, { secret: 'x' })];
    const { lines } = await doctor(cluster, { servers });
    const pairs = ['s1 → s3', 's2 → s3', 's3 → s1', 's3 → s2'];
    assert.deepEqual(
      lines,
      pairs.map((pair) => `FAIL SECRET_DIFFERS ${pair}`),
    );
  });

  test('storage that is not shared', async (t) => {
    const storage = join(cluster.workspace.dir, 'split');
    const { code, lines } = await doctor(cluster, { servers: [good(), await another(t, { storage })] });
    assert.deepEqual([code, lines], [1, ['FAIL STORAGE_NOT_SHARED s1 → s2', 'FAIL STORAGE_NOT_SHARED s2 → s1']]);
  });

  test('an audit that is interrupted deletes what it has begun', async (t) => {
    const storage = join(cluster.workspace.dir, 'interrupted');
    const servers = [good(), await another(t, { storage })];
    const sessions = async (): Promise<string[]> => {
      const files = await readdir(storage, { recursive: true });
      return files.filter((name) => name.endsWith('startedat'));
    };
    const config = join(cluster.workspace.dir, 'interrupted.yml');
    await writeFile(config, yaml(settings(servers)));
    const begun = eventually('an upload to begin', async () => (await sessions()).length > 0);
    const flags = [
      '--name',
      'registry.test',
      '--ca',
      cluster.ca,
      '--user',
      cluster.user,
      '--password-stdin',
      '--patient',
    ];
    const ctrlC = { input: cluster.password, interrupt: begun };
    const started = performance.now();
    const { code, err } = await commandWith(ctrlC, 'doctor', '-c', config, ...flags);
    assert.deepEqual([code, err], [2, 'berth: interrupted\n']);
    const seconds = (performance.now() - started) / 1_000;
    assert.ok(seconds < 30, `${seconds} s`);
    assert.deepEqual(await sessions(), []);
  });

  test('a node that is read-only', async (t) => {
    const { storage } = cluster.defaults;
    const readonly = { filesystem: { rootdirectory: storage }, maintenance: { readonly: { enabled: true } } };
    const endpoint = await another(t, { override: { storage: readonly } });
    const { code, lines, findings } = await doctor(cluster, { servers: [good(), endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL UPLOAD_START s2']]);
    assert.match(findings[0]?.seen ?? '', /answered 405/);
  });

  test('a node whose Location leads elsewhere', async (t) => {
    const { certificate, key } = await cluster.certificate('good');
    const node = await cluster.addNode();
    await node.stop();
    const http = { addr: node.endpoint, secret: cluster.defaults.secret, tls: { certificate, key } };
    await node.start({ override: { http: { ...http, host: 'https://elsewhere.test' } } });
    t.after(() => node.stop());
    const { code, lines, findings } = await doctor(cluster, { servers: [good(), node.endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL LOCATION_HOST s2']]);
    assert.match(findings[0]?.seen ?? '', /https:\/\/elsewhere\.test, not to https:\/\/registry\.test/);

    await node.stop();
    for (const right of [{ host: 'https://registry.test' }, { relativeurls: true }]) {
      await node.start({ override: { http: { ...http, ...right } } });
      assert.deepEqual((await doctor(cluster, { servers: [good(), node.endpoint] })).lines, []);
      await node.stop();
    }
  });

  test('a storage that hangs while /v2/ answers', async (t) => {
    const storage = join(cluster.workspace.dir, 'hanging');
    const manifests = join(storage, 'docker/registry/v2/repositories/hung/probe/_manifests');
    await mkdir(manifests, { recursive: true });
    // The open of a pipe that nobody writes to does not return, as in a mount that has lost its server.
    await cluster.workspace.run('mkfifo', [join(manifests, 'tags')]);
    const endpoint = await another(t, { storage });
    t.after(async () => {
      await rename(join(manifests, 'tags'), join(manifests, 'pipe'));
      await (await open(join(manifests, 'pipe'), constants.O_RDWR)).close();
    });
    const { code, lines } = await doctor(cluster, { servers: [good(), endpoint], args: ['--repo', 'hung/probe'] });
    assert.deepEqual([code, lines], [1, ['FAIL STORAGE_HANG s2']]);
  });

  test('a storage that fails', async (t) => {
    const storage = join(cluster.workspace.dir, 'failing');
    const manifests = join(storage, 'docker/registry/v2/repositories/broken/probe/_manifests');
    await mkdir(manifests, { recursive: true });
    await writeFile(join(manifests, 'tags'), 'a file where a directory should be');
    await chmod(join(manifests, 'tags'), 0o600);
    const { lines } = await doctor(cluster, {
      servers: [good(), await another(t, { storage })],
      args: ['--repo', 'broken/probe'],
    });
    assert.deepEqual(lines, ['FAIL STORAGE_ERROR s2']);
  });

  test('a node that calls itself unhealthy', async (t) => {
    const file = join(cluster.workspace.dir, 'unhealthy');
    await writeFile(file, '');
    const health = { file: [{ file, interval: '100ms' }], storagedriver: { enabled: false } };
    const endpoint = await another(t, { override: { health } });
    // The node looks at itself now and then.
    let seen = await doctor(cluster, { servers: [good(), endpoint] });
    for (let tries = 0; tries < 10 && seen.code === 0; tries++)
      seen = await doctor(cluster, { servers: [good(), endpoint] });
    assert.deepEqual([seen.code, seen.lines], [1, ['FAIL UNHEALTHY_503 s2']]);
  });

  suite('a storage that lags', () => {
    test('by names that were looked up in vain, for less than the doctor waits', async () => {
      const port = await proxyBefore(cluster, cluster.nodes[1]!.port, remembersMissing(3_000));
      const { code, lines, findings } = await doctor(cluster, { servers: [good(), port] });
      assert.deepEqual([code, lines], [1, ['FAIL STORAGE_LAG s1 → s2']]);
      assert.match(findings[0]?.seen ?? '', /s2 sees an upload begun on s1 after \d\.\d s only/);
      assert.match(findings[0]?.mend ?? '', /Keep stickTable on/);
    });

    test('by names that were looked up in vain, for longer', async () => {
      const port = await proxyBefore(cluster, cluster.nodes[1]!.port, remembersMissing(60_000));
      const { lines, findings } = await doctor(cluster, { servers: [good(), port] });
      assert.deepEqual(lines, ['FAIL STORAGE_LAG s1 → s2']);
      assert.match(findings[0]?.seen ?? '', /at once in a repository that is new to it, but not within 4 s/);
    });

    test('by names on the way to every repository, so that the node cannot make them either', async () => {
      const port = await proxyBefore(cluster, cluster.nodes[1]!.port, cannotMakeWhatIsThere(2_000));
      const { code, lines, findings } = await doctor(cluster, { servers: [good(), port] });
      assert.deepEqual([code, lines], [1, ['FAIL STORAGE_LAG s2']]);
      assert.match(findings[0]?.seen ?? '', /s2 answered 500 \(UNKNOWN\), and began one [\d.]+ s later only/);
    });

    test('by names, for longer than usual, with --patient', async () => {
      const port = await proxyBefore(cluster, cluster.nodes[1]!.port, remembersMissing(6_000));
      const { lines, findings } = await doctor(cluster, { servers: [good(), port], args: ['--patient'] });
      assert.deepEqual(lines, ['FAIL STORAGE_LAG s1 → s2']);
      assert.match(findings[0]?.seen ?? '', /after [56]\.\d s only/);
    });

    for (const [ms, then] of [
      [2_000, 'but after 4 s'],
      [60_000, 'nor after 4 s'],
    ] as const) {
      test(`by sizes, for ${ms / 1_000} s`, async () => {
        const port = await proxyBefore(cluster, cluster.nodes[1]!.port, remembersSizes(ms));
        const { lines, findings } = await doctor(cluster, { servers: [good(), port] });
        assert.ok(lines.includes('FAIL STORAGE_LAG s1 → s2'), lines.join());
        assert.ok(
          findings.every(({ code, seen }) => code === 'STORAGE_LAG' && seen.includes(then)),
          JSON.stringify(findings),
        );
      });
    }
  });
});

/** As a mount that remembers, for so long, that a repository was not there. */
function remembersMissing(ms: number): Lie {
  const missing = new Map<string, number>();
  return async ({ path }, behind) => {
    const [, repository = '', rest = ''] = /^\/v2\/(.+)\/(tags\/list|blobs\/uploads\/.+)$/.exec(path) ?? [];
    const since = missing.get(repository);
    if (rest.startsWith('blobs/') && since !== undefined && Date.now() - since < ms) return refusal('UNKNOWN');
    const told = await behind();
    if (rest === 'tags/list' && told.status === 404) missing.set(repository, Date.now());
    return told;
  };
}

/** As a mount that remembers, for so long, that a folder was not there, which another node has made meanwhile. */
function cannotMakeWhatIsThere(ms: number): Lie {
  let since: number | undefined;
  return ({ method }, behind) => {
    if (method === 'POST') since ??= Date.now();
    if (since === undefined || Date.now() - since >= ms) return behind();
    const body = Buffer.from('{"errors":[{"code":"UNKNOWN"}]}');
    return Promise.resolve({ status: 500, headers: { 'content-type': 'application/json' }, body });
  };
}

/**
 * As a mount that remembers, for so long, how large a file was: a registry then ends the upload, whose size is not the
 * signed one.
 */
function remembersSizes(ms: number): Lie {
  const seen = new Map<string, { path: string; at: number }>();
  return async (asked, behind, anything) => {
    const [, upload] = /\/blobs\/uploads\/([^/?]+)/.exec(asked.path) ?? [];
    if (upload === undefined || asked.method === 'DELETE') return behind();
    const last = seen.get(upload);
    if (last && last.path !== asked.path && Date.now() - last.at < ms) {
      await anything({ ...asked, method: 'DELETE' });
      return refusal('INVALID');
    }
    if (asked.method === 'GET') seen.set(upload, { path: asked.path, at: last?.at ?? Date.now() });
    return behind();
  };
}

function refusal(why: 'UNKNOWN' | 'INVALID'): { status: number; headers: Record<string, string>; body: Buffer } {
  const body = Buffer.from(JSON.stringify({ errors: [{ code: `BLOB_UPLOAD_${why}` }] }));
  return { status: 404, headers: { 'content-type': 'application/json' }, body };
}
