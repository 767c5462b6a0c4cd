import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, suite, test, type TestContext } from 'node:test';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor as diagnose, type Diagnosis, type DoctorCall } from '../support/doctor.ts';
import { proxyBefore } from '../support/tls-proxy.ts';
import { makeSigningKey, startTokenServer, type SigningKey, type TokenServer } from '../support/token-server.ts';

suite('berth doctor and registries with token authentication', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  let server: TokenServer;
  let another: SigningKey;
  before(async () => {
    cluster = await startCluster({ names: ['registry.test', 'localhost', '127.0.0.1'], redis: false, nodes: 0 });
    server = await startTokenServer(cluster, await makeSigningKey(cluster, 'rsa', 'rsa'));
    another = await makeSigningKey(cluster, 'ec', 'ec');
    for (let i = 0; i < 2; i++) await cluster.addNode({ htpasswd: null, override: server.auth() });
  });
  after(() => cluster.close());

  /** No token is in the output, whatever it is. */
  const doctor = (call: DoctorCall = {}): Promise<Diagnosis> =>
    diagnose(cluster, { secrets: () => server.given, ...call });
  const good = (i = 0): string => cluster.nodes[i]!.endpoint;
  const both = (): string[] => [good(0), good(1)];

  /** A third node, for one test. */
  async function third(t: TestContext, override: Record<string, Record<string, unknown>>): Promise<string> {
    const node = await cluster.addNode({ htpasswd: null, override });
    t.after(() => node.stop());
    return node.endpoint;
  }
  function instead(t: TestContext, does: (response: ServerResponse) => void): void {
    server.manners.instead = (_, response) => does(response);
    t.after(() => (server.manners.instead = undefined));
  }

  test('a good cluster is audited to the end, with one token for each repository', async () => {
    const asked = server.asked.length;
    const { code, out } = await doctor({ servers: both(), args: ['--write'], text: true });
    assert.deepEqual([code, out], [0, 'OK 2 nodes consistent\n']);
    const scopes = server.asked.slice(asked);
    assert.equal(new Set(scopes).size, scopes.length, 'a token that the audit had already');
    assert.ok(scopes.includes('repository:berth-doctor/probe:pull,push,delete'), scopes.join());
  });

  test('what is wrong behind the login is found', async (t) => {
    const node = await cluster.addNode({ htpasswd: null, override: server.auth(), secret: 'another' });
    t.after(() => node.stop());
    const { code, lines } = await doctor({ servers: [good(), node.endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL SECRET_DIFFERS s1 → s2', 'FAIL SECRET_DIFFERS s2 → s1']]);
  });

  test('a node with another key, issuer or service refuses the token that the others take', async (t) => {
    for (const [auth, code] of [
      [server.auth(another), 'TOKEN_DIFFERS'],
      [server.auth(undefined, { issuer: 'somebody else' }), 'TOKEN_DIFFERS'],
      [server.auth(undefined, { service: 'another.test' }), 'REALM_DIFFERS'],
    ] as const) {
      const { code: exit, lines, findings } = await doctor({ servers: [...both(), await third(t, auth)] });
      assert.deepEqual([exit, lines[0]], [1, `FAIL ${code} s1, s2, s3`]);
      if (code !== 'TOKEN_DIFFERS') continue;
      assert.equal(lines.length, 1);
      assert.equal(findings[0]?.seen, 'one token is taken by s1, s2 and refused by s3 (invalid_token)');
      assert.match(findings[0]?.mend ?? '', /rootcertbundle/);
    }
  });

  test('a token that all nodes refuse is one finding', async (t) => {
    const { signedWith } = server.manners;
    server.manners.signedWith = another;
    t.after(() => (server.manners.signedWith = signedWith));
    const { code, lines, findings } = await doctor({ servers: both() });
    assert.deepEqual([code, lines], [1, ['FAIL TOKEN_REJECTED s1, s2']]);
    assert.match(findings[0]?.seen ?? '', /^a token is refused by s1 \(invalid_token\), s2 \(invalid_token\)$/);
  });

  test('a password that the token server refuses, and a token server that does not do its work', async (t) => {
    const refused = await doctor({ servers: both(), password: 'not-this-one' });
    assert.deepEqual([refused.code, refused.lines], [1, ['FAIL AUTH_REJECTED s1, s2']]);
    assert.match(refused.findings[0]?.seen ?? '', /the login of demo: the token server at .* refuses the user \(401\)/);
    for (const [does, seen] of [
      [(response) => response.writeHead(503).end(), /answered 503; its log says why$/],
      [(response) => response.writeHead(307, { location: 'https://elsewhere.test/' }).end(), /answered 307, and Berth/],
      [(response) => response.end('<html>'), /answered 200 without a token$/],
      [(response) => response.destroy(), /closed before the whole answer was there/],
      [() => {}, /did not answer in time$/],
    ] as [(response: ServerResponse) => void, RegExp][]) {
      instead(t, does);
      const { code, lines, findings } = await doctor({ servers: both() });
      assert.deepEqual([code, lines], [1, ['FAIL TOKEN_SERVER s1, s2']]);
      assert.match(findings[0]?.seen ?? '', seen);
    }
  });

  test('a token that lives for half a minute is a warning', async (t) => {
    server.manners.lifeS = 30;
    t.after(() => (server.manners.lifeS = 300));
    const { code, lines } = await doctor({ servers: both() });
    assert.deepEqual([code, lines], [0, ['WARN TOKEN_SHORT s1, s2']]);
  });

  test('a node that sends the token back spoils no output, and one that is not trusted gets none', async (t) => {
    const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async ({ headers }, behind) => {
      const told = await behind();
      const { authorization = '' } = headers;
      if (authorization.startsWith('Bearer')) told.headers['location'] = `https://${authorization.slice(7)}.test/`;
      return authorization.startsWith('Bearer') ? { ...told, status: 302 } : told;
    });
    const echo = await doctor({ servers: [port] });
    assert.equal(echo.code, 1);
    const node = await cluster.addNode({ htpasswd: null, override: server.auth(), certificate: 'untrusted' });
    t.after(() => node.stop());
    const asked = server.asked.length;
    const { lines } = await doctor({ servers: [node.endpoint] });
    assert.deepEqual(lines, ['FAIL CERT_UNTRUSTED s1']);
    assert.equal(server.asked.length, asked);
    assert.deepEqual(new Set(node.requests().map(({ status }) => status)), new Set([200, 401]));
  });

  test('without a user there is nothing to fetch a token with', async () => {
    const { code, lines } = await doctor({ servers: both(), user: null });
    assert.deepEqual([code, lines], [0, ['INFO NO_CREDENTIALS s1, s2']]);
  });
});
