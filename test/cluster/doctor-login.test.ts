import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { proxyBefore } from '../support/tls-proxy.ts';

suite('berth doctor and users', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ names: ['registry.test'], redis: false, nodes: 2 });
  });
  after(() => cluster.close());

  /** A second node with such a password file. */
  async function withFile(t: { after(end: () => Promise<void>): void }, content: string): Promise<string> {
    const htpasswd = join(cluster.workspace.dir, `htpasswd-${Math.random()}`);
    await writeFile(htpasswd, content);
    const node = await cluster.addNode({ htpasswd });
    t.after(() => node.stop());
    return node.endpoint;
  }
  const good = (): string => cluster.nodes[0]!.endpoint;
  const hash = (...flags: string[]): Promise<string> =>
    cluster.workspace.run('htpasswd', ['-bn', ...flags, cluster.user, cluster.password]);

  for (const [what, content] of [
    ['an empty file', async () => '\n'],
    ['another user', async () => (await hash('-B')).replace(/^/, 'x')],
    ['a hash by md5', () => hash('-m')],
    ['a hash by sha1', () => hash('-s')],
    ['a password in clear', () => hash('-p')],
    ['a file with a byte order mark', async () => `\uFEFF${await hash('-B')}`],
  ] as [string, () => Promise<string>][]) {
    test(`${what}: the login is rejected`, async (t) => {
      const { code, lines, findings } = await doctor(cluster, {
        servers: [good(), await withFile(t, await content())],
      });
      assert.deepEqual([code, lines], [1, ['FAIL AUTH_REJECTED s2', 'FAIL AUTH_DIFFERS s1, s2']]);
      // Which of the two it says goes by time, of which a busy machine has its own: doctor-checks.test.ts gives it
      // some.
      assert.match(
        findings[0]?.seen ?? '',
        /got 401; probably (there is no such user, or no bcrypt hash|the password is another one)/,
      );
    });
  }

  test('a wrong password: rejected by all, with the hint that a hash was compared, and both readers answered', async () => {
    const { code, lines, findings } = await doctor(cluster, {
      servers: cluster.nodes.slice(0, 2).map(({ endpoint }) => endpoint),
      password: 'not-this-one',
    });
    assert.deepEqual([code, lines], [1, ['FAIL AUTH_REJECTED s1', 'FAIL AUTH_REJECTED s2']]);
    for (const { seen, mend } of findings) {
      assert.match(seen, /the password is another one/);
      assert.match(mend, /Login gives 401 though user and password were set\?/);
      assert.match(mend, /not bcrypt|The hash is not bcrypt/);
      assert.match(mend, /> was missing/);
      assert.match(mend, /htpasswd -Bbn USER PASS > auth\/htpasswd/);
      assert.match(mend, /no htpasswd program since 2020/);
    }
  });

  test('a file with a line without : is broken', async (t) => {
    const broken = await withFile(t, `htpasswd: command not found\n`.replace(':', ''));
    const { code, lines } = await doctor(cluster, { servers: [broken] });
    assert.deepEqual([code, lines], [1, ['FAIL HTPASSWD_BROKEN s1']]);
  });

  test('a hash that costs too much is a warning, and not taken for a slow storage', async (t) => {
    const slow = await withFile(t, await hash('-B', '-C', '12'));
    const { code, lines } = await doctor(cluster, { servers: [slow] });
    assert.deepEqual([code, lines], [0, ['WARN BCRYPT_SLOW s1']]);
  });

  test('a node that lets anyone in is a failure where a user is given, and differs from one that does not', async (t) => {
    const node = await cluster.addNode({ htpasswd: null });
    t.after(() => node.stop());
    const { code, lines } = await doctor(cluster, { servers: [good(), node.endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL NO_AUTH s2', 'FAIL AUTH_DIFFERS s1, s2']]);
  });

  test('nodes that let anyone in are a warning where no user is given, and are audited to the end', async (t) => {
    const nodes = [
      await cluster.addNode({ htpasswd: null }),
      await cluster.addNode({ htpasswd: null, secret: 'another' }),
    ];
    t.after(() => Promise.all(nodes.map((node) => node.stop())));
    const { lines, findings } = await doctor(cluster, { servers: nodes.map(({ endpoint }) => endpoint), user: null });
    assert.deepEqual(lines, [
      'FAIL SECRET_DIFFERS s1 → s2',
      'FAIL SECRET_DIFFERS s2 → s1',
      'WARN NO_AUTH s1',
      'WARN NO_AUTH s2',
    ]);
    assert.match(findings[2]?.mend ?? '', /Is TLS or basic auth the minimum\?/);
  });

  test('realms that differ', async (t) => {
    const auth = { htpasswd: { realm: 'Another Realm', path: cluster.defaults.htpasswd } };
    const node = await cluster.addNode({ override: { auth } });
    t.after(() => node.stop());
    const { code, lines, findings } = await doctor(cluster, { servers: [good(), node.endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL REALM_DIFFERS s1, s2']]);
    assert.match(findings[0]?.seen ?? '', /s1: Basic realm="Registry Realm"; s2: Basic realm="Another Realm"/);
  });

  test('a realm that cannot be reached is one finding, and no node’s', async () => {
    const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async (_, behind) => {
      const told = await behind();
      told.headers['www-authenticate'] = 'Bearer realm="https://auth.invalid/token",service="registry.test"';
      return told;
    });
    const { code, lines } = await doctor(cluster, { servers: [port, port] });
    assert.deepEqual([code, lines], [1, ['FAIL TOKEN_SERVER s1, s2']]);
  });
});
